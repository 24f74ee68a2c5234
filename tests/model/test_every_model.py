"""Every model of the registry holds the contract of `tssr.testing`, and more that is asked of tssr's own.

A model added to the registry is tested here at once.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tssr.model.batches import newest
from tssr.model.inputs import ContentVectors, ItemVectors
from tssr.model.recommender import (
    DenseRecommender,
    NeuralRecommender,
    SequenceRecommender,
    VectorRecommender,
)
from tssr.model.registry import MODELS, model_spec
from tssr.model.unisrec import MixtureAdaptor
from tssr.testing.contract import CHECKS, CPU, answers, asked, small_model, trained

CASES = [
    pytest.param(name, contents, id=f"{name}-{contents}" if spec.reads_content else name)
    for name, spec in MODELS.items()
    for contents in ((1, 2) if spec.reads_content else (0,))
]
every_model = pytest.mark.parametrize(("name", "contents"), CASES)
ORDER_BLIND = {"poprec", "itemknn", "bpr-mf"}
# All others must learn that item i is followed by i + 1; other files ask it of those named here.
NO_SEQUENCES = {*ORDER_BLIND, "content-knn", "order-knn", "tssr-late", "tssr-rank", "rank-id"}
sequence_models = pytest.mark.parametrize(
    ("name", "contents"), [case for case in CASES if case.values[0] not in NO_SEQUENCES]
)


@torch.no_grad()
def scores_of(model, inputs):
    vectors, bias = model.items()
    return model.encode(inputs) @ vectors.T + bias


def inputs_of(histories, length):
    return newest(histories, 0, len(histories), length)


def item_inputs(model):
    kinds = (ItemVectors, ContentVectors, MixtureAdaptor)
    return [part for part in model.modules() if isinstance(part, kinds)]


def test_an_unknown_model_is_answered_with_the_names():
    with pytest.raises(Exception, match=r"--model: unknown model 'bert4rec'.*here are poprec, .*tssr"):
        model_spec("bert4rec")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@every_model
def test_it_holds_the_contract(name, contents, check):
    check(lambda seed: small_model(name, seed, contents=contents))


@every_model
def test_states_and_items_have_one_width(build, ring, name, contents):
    model, queries = build(name, contents), asked(ring)
    if isinstance(model, DenseRecommender):
        assert not isinstance(model, VectorRecommender)
    else:
        assert isinstance(model, VectorRecommender)
        vectors, bias = model.items()
        assert model.encode_queries(queries, 2, 7).shape == (5, vectors.shape[1])
        assert (len(vectors), len(bias)) == (ring.item_count, ring.item_count)
    assert model.length is None or model.length == 5


@every_model
def test_its_training_is_what_the_registry_says(build, name, contents):
    assert isinstance(build(name, contents), NeuralRecommender) == MODELS[name].trained
    assert isinstance(build(name, contents), SequenceRecommender) == (name not in NO_SEQUENCES)


@sequence_models
def test_the_ring_is_learned(build, ring, windows, name, contents):
    model = trained(build(name, contents), windows, 60)
    inputs = inputs_of(ring, model.length)
    followers = inputs[:, -1] % ring.item_count + 1
    assert (scores_of(model, inputs).argmax(1) + 1).tolist() == followers.tolist()


@sequence_models
def test_groups_are_learned(build, histories_of, name, contents):
    """Two groups of users and items, in no order: what comes next is of the own group."""
    draw = np.random.default_rng(1)
    groups = [[1, 2, 3, 4], [5, 6, 7, 8]]
    histories = histories_of([draw.choice(group, 6).tolist() for group in groups for _ in range(80)])
    model = build(name, contents, train=histories)
    trained(model, model.samples(histories, "all", CPU), 60)
    best = scores_of(model, inputs_of(histories, model.length)).topk(4).indices + 1
    own = torch.tensor([group for group in groups for _ in range(80)])
    assert torch.isin(best[:80], own[:80]).float().mean() > 0.98
    assert torch.isin(best[80:], own[80:]).float().mean() > 0.98


@pytest.mark.parametrize("name", sorted(ORDER_BLIND - {"poprec"}))
def test_blocks_are_learned(build, histories_of, name):
    """Two groups of users and items; everyone lacks one item of the own group, which must come first."""
    groups = [[1, 2, 3, 4], [5, 6, 7, 8]]
    lists = [[item for item in group if item != lacking] for group in groups for lacking in group] * 3
    histories = histories_of(lists)
    model = build(name, train=histories)
    if isinstance(model, NeuralRecommender):
        trained(model, model.samples(histories, "all", CPU), 60)
    scores = answers(model, asked(histories))
    for row, items in enumerate(lists):
        scores[row, torch.tensor(items) - 1] = -torch.inf
    missing = [({*groups[items[0] > 4]} - {*items}).pop() for items in lists]
    assert (scores.argmax(1) + 1).tolist() == missing


@sequence_models
def test_more_padding_on_the_left_changes_no_bit(build, ring, name, contents):
    model = build(name, contents)
    short = inputs_of(ring, model.length)[:, -2:]
    for width in (2, 3, model.length, model.length + 4):
        wide = F.pad(short, (width - 2, 0))
        assert torch.equal(scores_of(model, wide), scores_of(model, short))


@sequence_models
def test_a_longer_window_of_padding_changes_no_answer(build, ring, windows, name, contents):
    """The same weights at L and at 2 L, whose first L positions no window here reaches."""
    model = trained(build(name, contents), windows)
    longer = build(name, contents, length=2 * model.length)
    state = longer.state_dict()
    for key, value in model.state_dict().items():
        state[key] = torch.cat([state[key][: len(state[key]) - len(value)], value]) if value.ndim else value
    longer.load_state_dict(state)
    batch = windows.batch(torch.arange(windows.count))
    padded = F.pad(batch.inputs, (model.length, 0))
    real = batch.real
    with torch.no_grad():
        states = longer.states(padded)[:, model.length :]
        torch.testing.assert_close(states[real], model.states(batch.inputs)[real], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(
            scores_of(longer, batch.inputs), scores_of(model, batch.inputs), rtol=1e-5, atol=1e-6
        )


@sequence_models
def test_actions_older_than_the_window_change_no_bit(build, ring, name, contents):
    model = build(name, contents)
    inputs = inputs_of(ring, model.length)
    longer = torch.cat([torch.full((len(inputs), 3), 2), inputs], dim=1)
    assert torch.equal(scores_of(model, longer), scores_of(model, inputs))


@sequence_models
def test_padding_influences_nothing(build, ring, windows, name, contents):
    model = build(name, contents)
    batch = windows.batch(torch.arange(windows.count))
    inputs = inputs_of(ring, model.length)

    @torch.no_grad()
    def answers():
        torch.manual_seed(2)
        return [
            scores_of(model, inputs),
            model.states(batch.inputs)[batch.real],
            *model.losses(batch).values(),
        ]

    before = answers()
    with torch.no_grad():
        for part in item_inputs(model):
            (part.table.weight if isinstance(part, ItemVectors) else part.content.features)[0] = 7.0
    assert all(torch.equal(old, new) for old, new in zip(before, answers(), strict=True))


@sequence_models
def test_a_later_item_cannot_alter_an_earlier_state(build, ring, name, contents):
    """The gradient of step l's state with respect to what entered after l is exactly zero."""
    model = build(name, contents)
    inputs = inputs_of(ring, model.length)
    entered = []

    def keep(_module, _args, output):
        leaf = output.detach().requires_grad_()
        entered.append(leaf)
        return leaf

    for part in item_inputs(model):
        part.register_forward_hook(keep)
    states = model.states(inputs)
    assert len(entered) >= max(1, contents)  # a model that reads items by other means would escape
    direction = torch.randn_like(states)
    full = (inputs > 0).all(dim=1)
    for step in range(model.length):
        watched = (states[:, step] * direction[:, step]).sum()
        for gradient in torch.autograd.grad(watched, entered, retain_graph=True):
            assert not gradient[:, step + 1 :].any()
            assert gradient[full][:, : step + 1].any(dim=-1).all()  # every step up to l is read


@sequence_models
@torch.no_grad()
def test_its_loss_is_the_cross_entropy_of_its_own_scores(build, ring, windows, name, contents):
    """In float64: the state of each real step times the items plus the bias; the last is what it encodes."""
    model = build(name, contents)
    batch = windows.batch(torch.arange(windows.count))
    (vectors, bias), states = model.items(), model.states(batch.inputs)
    torch.testing.assert_close(model.encode(batch.inputs), states[:, -1])
    losses = []
    for row, step in batch.real.nonzero().tolist():
        scores = vectors.double() @ states[row, step].double() + bias.double()
        losses.append(scores.exp().sum().log() - scores[batch.targets[row, step] - 1])
    found = model.losses(batch)["ce"].double()
    torch.testing.assert_close(found, torch.stack(losses).mean(), rtol=1e-5, atol=1e-6)


@every_model
def test_features_are_not_saved_with_the_model(build, name, contents):
    assert not [key for key in build(name, contents).state_dict() if "features" in key]


@sequence_models
def test_one_user_with_one_transition_is_enough_to_learn_from(build, windows, name, contents):
    model = build(name, contents).train()
    batch = windows.batch(torch.tensor([0]))
    assert int(batch.real.sum()) == 1
    total = torch.stack(list(model.losses(batch).values())).sum()
    total.backward()
    assert total.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


class Waits(TorchDispatchMode):
    """Notes the operations whose result's size or value the host must know, so that a GPU is waited for."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation.overloadpacket.__name__
        indices = args[1] if name in ("index", "index_put", "index_put_") else ()
        by_mask = any(part is not None and part.dtype == torch.bool for part in indices)
        if by_mask or name in ("nonzero", "masked_select", "_local_scalar_dense", "unique_dim", "_unique2"):
            self.seen.append(name)
        return operation(*args, **(kwargs or {}))


@sequence_models
def test_a_step_makes_a_gpu_wait_no_more_than_four_times(build, windows, name, contents):
    model = build(name, contents).train()
    with Waits() as waits:
        torch.stack(list(model.losses(windows.batch(torch.arange(8))).values())).sum().backward()
    # The real steps of the batch, of the encoders, and of each content's item contrast or of two views.
    assert len(waits.seen) <= 4, waits.seen


# Where each term of a loss is held against a loop written from its equation; a new term needs a line here.
ORACLES = {
    "ce": "test_its_loss_is_the_cross_entropy_of_its_own_scores",
    "bpr": "test_bpr.py",
    "view": "test_baselines.py",
    "user": "test_losses.py",
    "item": "test_losses.py",
    "stream": "test_tssr.py",
    "ids_ce": "test_late_tssr.py",
    "content_ce": "test_late_tssr.py",
}


@pytest.mark.parametrize(("name", "contents"), [case for case in CASES if MODELS[case.values[0]].trained])
def test_every_term_of_its_loss_has_an_oracle(build, ring, name, contents):
    optional = {field: 1.0 for field in MODELS[name].settings.model_fields if field.startswith("lambda_")}
    model = build(name, contents, **optional)
    samples = model.samples(ring, "all", CPU)
    assert set(model.losses(samples.batch(torch.arange(samples.count)))) <= set(ORACLES)
