"""Items without a train action, scored from content alone.

The shop has items of six kinds, alike within a kind, and everyone goes around the kinds in a circle. One item
of each kind was never taken: content alone tells where it belongs.
"""

import numpy as np
import pytest
import torch

from tssr.model.batches import Windows
from tssr.model.materials import ContentFeatures, Materials
from tssr.model.registry import MODELS
from tssr.model.settings import WindowSettings

KINDS, ALIKE, LENGTH = 6, 4, 3
COUNT = KINDS * ALIKE
HEADS = ("table", "tied", "content", "table+content")
# Models with one head of their own, of any kind; tssr-late has those of two SASRecs, which are tested here by
# their names, and unisrec's is always tied, so that learned vectors decide it.
SEQUENCE_MODELS = [
    name
    for name, spec in MODELS.items()
    if issubclass(spec.settings, WindowSettings) and name not in ("tssr-late", "unisrec")
]
READERS = [name for name in SEQUENCE_MODELS if MODELS[name].reads_content]


def item(kind, place):
    return 1 + kind % KINDS * ALIKE + place


COLD = [item(kind, ALIKE - 1) for kind in range(KINDS)]


@pytest.fixture(scope="module")
def train_histories(histories_of):
    draw = np.random.default_rng(0)
    starts = [kind for kind in range(KINDS) for _ in range(3 * ALIKE)]
    walks = [[item(start + step, draw.integers(ALIKE - 1)) for step in range(LENGTH + 1)] for start in starts]
    return histories_of(walks, COUNT)


@pytest.fixture
def build_shop(train_histories):
    """`build_shop("tssr", "content")`: a small model of the shop."""
    kinds = torch.zeros(COUNT + 1, KINDS)
    kinds[torch.arange(1, COUNT + 1), torch.arange(COUNT) // ALIKE] = 1
    look = ContentFeatures("image", kinds, torch.arange(COUNT + 1) > 0)

    def built(name, head, **more):
        spec = MODELS[name]
        small = {"width": 16, "heads": 2, "feedforward_width": 32, "dropout": 0.0, "head": head, **more}
        settings = spec.settings(**{k: v for k, v in small.items() if k in spec.settings.model_fields})
        counts = torch.from_numpy(train_histories.counts())
        contents = [look] if spec.reads_content else []
        torch.manual_seed(1)
        return spec.build(Materials(COUNT, LENGTH, contents, train_histories, counts), settings).eval()

    return built


@pytest.fixture
def cold(train_histories):
    """The mask of cold items, (N,), as training sees it."""
    found = torch.from_numpy(train_histories.counts()[1:] == 0)
    assert (found.nonzero()[:, 0] + 1).tolist() == COLD
    return found


def trained(model, histories):
    samples = Windows(histories, LENGTH, "all", torch.device("cpu"))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    batch = samples.batch(torch.arange(samples.count))
    model.train()
    for _ in range(60):
        optimizer.zero_grad()
        torch.stack(list(model.losses(batch).values())).sum().backward()
        optimizer.step()
    return model.eval()


@torch.no_grad()
def ranks_of_cold(model, vectors, bias):
    """The rank of each kind's cold item for someone whose history leads to that kind."""
    histories = torch.tensor([[item(kind - 2, 0), item(kind - 1, 1)] for kind in range(KINDS)])
    scores = model.encode(histories) @ vectors.T + bias
    own = scores.gather(1, torch.tensor(COLD)[:, None] - 1)
    return ((scores > own).sum(dim=1) + 1).numpy()


@pytest.mark.parametrize("name", ["sasrec-content", "tssr"])
@pytest.mark.parametrize(("head", "worst"), [("content", ALIKE), ("table+content", 2 * ALIKE)])
def test_content_puts_what_was_never_taken_among_its_kind(
    build_shop, train_histories, cold, name, head, worst
):
    """Before every item of other kinds; a table beside the content takes part of what there is to learn."""
    model = trained(build_shop(name, head), train_histories)
    assert ranks_of_cold(model, *model.head.items_with_cold(cold)).max() <= worst


@pytest.mark.parametrize("name", ["sasrec-content", "tssr"])
def test_a_table_knows_nothing_of_what_was_never_taken(build_shop, train_histories, name):
    model = trained(build_shop(name, "table"), train_histories)
    assert ranks_of_cold(model, *model.items()).mean() >= (COUNT + 1) / 2  # no better than by lot


@pytest.mark.parametrize("name", SEQUENCE_MODELS)
@pytest.mark.parametrize("head", HEADS)
def test_who_can_rank_what_was_never_taken(build_shop, name, head):
    if name not in READERS and "content" in head:
        pytest.skip("the settings refuse it")
    knows = "content" in head or (head == "tied" and name == "sasrec-content")
    assert build_shop(name, head).head.ranks_cold_items == knows


@torch.no_grad()
@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("head", ["content", "table+content"])
def test_what_is_learned_of_a_cold_item_itself_counts_for_nothing(build_shop, cold, name, head):
    head = build_shop(name, head).head
    torch.nn.init.normal_(head.bias)
    for enter in head.inputs:
        torch.nn.init.normal_(enter.project.weight)
    vectors, bias = head.items_with_cold(cold)
    content = sum(enter(torch.arange(1, COUNT + 1)[None])[0] for enter in head.inputs)
    average = 0 if head.weight is None else head.weight[~cold].mean(dim=0)
    torch.testing.assert_close(vectors[cold], content[cold] + average)
    torch.testing.assert_close(bias[cold], head.bias[~cold].mean().expand(KINDS))
    assert torch.equal(vectors[~cold], head.vectors()[~cold])
    assert torch.equal(bias[~cold], head.bias[~cold])
    head.bias[cold] = 7.0
    if head.weight is not None:
        head.weight[cold] = 7.0
    again, bias_again = head.items_with_cold(cold)
    torch.testing.assert_close(again, vectors)
    assert torch.equal(bias_again, bias)


@pytest.mark.parametrize("name", ["sasrec-content", "tssr"])
@pytest.mark.parametrize("head", ["content", "table+content"])
def test_a_cold_item_is_nobodys_wrong_answer(build_shop, cold, name, head):
    """The loss is the cross-entropy over the others, and the cold items' own rows and biases feel nothing."""
    head = build_shop(name, head).head
    torch.manual_seed(2)
    states, targets = torch.randn(5, 16), torch.tensor([1, 2, 9, 22, 23])
    loss = head(states, targets)
    scores = (states @ head.vectors().T + head.bias).masked_fill(cold, -torch.inf)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(scores, targets - 1))
    loss.backward()
    own = [head.bias] + ([] if head.weight is None else [head.weight])
    assert all(not part.grad[cold].any() and part.grad[~cold].any() for part in own)


def test_a_sample_holds_no_cold_item(build_shop, cold):
    head = build_shop("sasrec-content", "content", softmax_sample=16).head
    drawn = torch.cat([head.sample.draw()[0] for _ in range(50)])
    assert not cold[drawn - 1].any()
    assert len(drawn.unique()) == int((~cold).sum())
