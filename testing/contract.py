"""The contract that every model must fulfil, tested on a ring: item i is always followed by item i + 1.

    from tssr.testing import check_model
    import my_models

    def test_my_model():
        check_model("my-model")

Shapes: B queries, L steps, D width, N items.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.dataset import Histories, Queries
from ..core.schema import PADDING
from ..model.batches import newest
from ..model.checkpoint import load_model, save_model
from ..model.materials import ContentFeatures, Materials
from ..model.recommender import DenseRecommender, NeuralRecommender, SequenceRecommender
from ..model.registry import from_content, model_spec

ITEM_COUNT, LENGTH, USERS = 8, 5, 24
SMALL = {"width": 16, "heads": 2, "feedforward_width": 16}
LEARNING_RATE = 0.02
CPU = torch.device("cpu")

Build = Callable[[int], Any]  # a model from a seed, in eval mode


def ring() -> Histories:
    """Walks of two to eight actions from every start."""
    walks = [[(user + step) % ITEM_COUNT + 1 for step in range(2 + user % 7)] for user in range(USERS)]
    ends = np.cumsum([len(walk) for walk in walks])
    starts = ends - [len(walk) for walk in walks]
    return Histories(np.concatenate(walks).astype(np.int32), starts, ends, ITEM_COUNT)


def one_hot_content(name: str, absent: Sequence[int] = ()) -> ContentFeatures:
    """Content that tells every item apart; the `absent` items have none."""
    vectors = torch.eye(ITEM_COUNT + 1)
    present = torch.ones(ITEM_COUNT + 1, dtype=torch.bool)
    for item in (PADDING, *absent):
        vectors[item], present[item] = 0, False
    return ContentFeatures(name, vectors, present)


def small_model(
    name: str,
    seed: int = 1,
    *,
    contents: int = 1,
    train: Histories | None = None,
    length: int = LENGTH,
    **settings: Any,
) -> Any:
    """A small model of the registry, the same for the same seed, in eval mode.

    It is built for `train`, by default the ring, and reads `contents` content types; one item has no content
    of the second type. `settings` are options beside small default sizes; raises a pydantic error for an
    unknown one.
    """
    spec, histories = model_spec(name), ring() if train is None else train
    small = {key: value for key, value in SMALL.items() if key in spec.settings.model_fields}
    chosen = spec.settings(**small | settings)
    features = [one_hot_content("image"), one_hot_content("text", absent=[3])][:contents]
    reads = spec.reads_content or from_content(chosen)
    counts = torch.from_numpy(histories.counts())
    materials = Materials(histories.item_count, length, features if reads else [], histories, counts)
    torch.manual_seed(seed)
    model: Any = spec.build(materials, chosen)
    return model.eval()


def trained(model: Any, samples: Any = None, steps: int = 3) -> Any:
    """The model after a few steps over all samples, of the ring where none are given; back in eval mode.

    One that is not trained stays as it is.
    """
    if isinstance(model, NeuralRecommender):
        optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
        samples = model.samples(ring(), "all", CPU) if samples is None else samples
        batch = samples.batch(torch.arange(samples.count))
        model.train()
        for _ in range(steps):
            optimizer.zero_grad()
            torch.autograd.backward(torch.stack(list(model.losses(batch).values())).sum())
            optimizer.step()
        model.eval()
    return model


def asked(histories: Histories) -> Queries:
    """Users in their order, each with the whole history and no matter which target."""
    users = np.arange(len(histories), dtype=np.int32)
    return Queries(users, histories, np.ones(len(histories), dtype=np.int32))


@torch.no_grad()
def answers(model: Any, queries: Queries | None = None, low: int = 0, high: int | None = None) -> Tensor:
    """The scores of all items, (B, N), as the ranking computes them; of the ring's walks by default."""
    queries = asked(ring()) if queries is None else queries
    high = len(queries) if high is None else high
    if isinstance(model, DenseRecommender):
        return torch.from_numpy(model.scores(queries, low, high))
    vectors, bias = model.items()
    scores: Tensor = model.encode_queries(queries, low, high) @ vectors.T + bias
    return scores


def scores_are_whole(build: Build) -> None:
    """Every item has a finite score for every history."""
    scores = answers(build(1))
    assert scores.shape == (USERS, ITEM_COUNT), f"scores are {tuple(scores.shape)}, not (B, N)"
    assert bool(scores.isfinite().all()), "a score is NaN or infinite"


def a_batch_gives_what_each_query_gives_alone(build: Build) -> None:
    """A query's scores do not depend on the other queries of its batch."""
    model = build(1)
    alone = torch.cat([answers(model, low=row, high=row + 1) for row in range(USERS)])
    torch.testing.assert_close(answers(model), alone, rtol=1e-5, atol=1e-6)


def the_same_seed_gives_the_same_bits(build: Build) -> None:
    """Randomness, that of training too, comes from torch's generator alone."""
    one, other = (answers(trained(build(4))) for _ in range(2))
    assert torch.equal(one, other), "two models of one seed differ"


def saved_and_loaded_it_scores_alike(build: Build) -> None:
    """Scores after saving and loading are the same: all that decides them is in weights or materials."""
    model, other = trained(build(4)), build(9)
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder) / "model.safetensors", model, {"step": 2})
        record = load_model(Path(folder) / "model.safetensors", other)
    assert record == {"step": 2}, f"the record beside the weights became {record}"
    assert torch.equal(answers(model), answers(other)), "other scores after saving and loading"


def a_later_item_changes_no_earlier_state(build: Build) -> None:
    """The state after a step reads what came before it (sequence models); else the answer would leak."""
    model = build(1)
    if isinstance(model, SequenceRecommender):
        inputs = newest(ring(), 0, USERS, LENGTH)
        full = inputs[(inputs > 0).all(dim=1)]
        changed = full.clone()
        changed[:, -1] = full[:, -1] % ITEM_COUNT + 1
        with torch.no_grad():
            before, after = (model.states(windows)[:, :-1] for windows in (full, changed))
        torch.testing.assert_close(before, after, rtol=0, atol=1e-6, msg="a later item is read too early")


def a_step_of_training_reaches_every_parameter(build: Build) -> None:
    """The loss is finite and each parameter has a gradient (trained models)."""
    model = build(1)
    if isinstance(model, NeuralRecommender):
        samples = model.samples(ring(), "all", CPU)
        loss = torch.stack(list(model.losses(samples.batch(torch.arange(samples.count))).values())).sum()
        torch.autograd.backward(loss)
        assert bool(loss.isfinite()), "the loss is NaN or infinite"
        without = [
            name for name, part in model.named_parameters() if part.grad is None or not part.grad.any()
        ]
        assert without == [], f"no gradient reaches {', '.join(without)}"


CHECKS: tuple[Callable[[Build], None], ...] = (
    scores_are_whole,
    a_batch_gives_what_each_query_gives_alone,
    the_same_seed_gives_the_same_bits,
    saved_and_loaded_it_scores_alike,
    a_later_item_changes_no_earlier_state,
    a_step_of_training_reaches_every_parameter,
)


def check_model(name: str, *, contents: int = 1, **settings: Any) -> None:
    """Hold a model to the contract, by its registered name; raises AssertionError that says why not.

    `settings` are options of the model, over small sizes. A content model gets one content type, or two.
    """
    for check in CHECKS:
        check(lambda seed: small_model(name, seed, contents=contents, **settings))
