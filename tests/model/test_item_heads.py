"""Every head under every sequence model, and the losses that a head may be trained by."""

import re

import pytest
import torch

from tssr.core.errors import UsageError
from tssr.core.settings import resolve
from tssr.model.checkpoint import load_model, save_model
from tssr.model.heads import ItemHead
from tssr.model.registry import MODELS
from tssr.model.settings import WindowSettings
from tssr.model.softmax import full_softmax

KINDS = ("table", "tied", "content", "table+content")
OTHER_HEADS = {("unisrec", kind) for kind in KINDS}  # one of its own, see test_unisrec.py
CASES = [
    (name, kind)
    for name, spec in MODELS.items()
    if issubclass(spec.settings, WindowSettings) and name != "tssr-late"  # it has the heads of two SASRecs
    for kind in KINDS
    if (spec.reads_content or "content" not in kind) and (name, kind) not in OTHER_HEADS
]
every_head = pytest.mark.parametrize(("name", "kind"), CASES)


@pytest.fixture
def batch(windows):
    return windows.batch(torch.arange(windows.count))


@every_head
def test_items_are_the_sum_of_what_the_head_names(build, name, kind):
    model = build(name, 2, head=kind)
    numbers = torch.arange(1, 9)[None]
    parts = [model.head.weight] if "table" in kind else []
    parts += [content(numbers)[0] for content in model.head.inputs]
    assert len(parts) == {"table": 1, "tied": 0, "content": 2, "table+content": 3}[kind]
    if kind == "tied":
        item_input = model.item_input if hasattr(model, "item_input") else model.inputs[0]
        parts = [item_input(numbers)[0]]
    vectors, bias = model.items()
    torch.testing.assert_close(vectors, torch.stack(parts).sum(0))
    assert bias.shape == (8,)


@every_head
def test_every_parameter_has_a_gradient_and_is_saved_once(build, batch, tmp_path, name, kind):
    model = build(name, 2, head=kind)
    torch.stack(list(model.losses(batch).values())).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    save_model(tmp_path / "m", model, {})
    other = build(name, 2, head=kind, seed=5)
    load_model(tmp_path / "m", other)
    assert torch.equal(other.items()[0], model.items()[0])


@pytest.mark.parametrize("name", ["sasrec-hybrid", "tssr"])
def test_content_beside_a_table_starts_as_nothing(build, name):
    model = build(name, head="table+content")
    assert torch.equal(model.items()[0], model.head.weight)


def test_a_table_alone_is_not_copied(build):
    head = build("sasrec-id").head
    assert head.vectors() is head.weight


def test_an_item_of_no_train_action_is_scored_from_content(build, histories_of):
    """Item 8 looks like item 2 and was never taken; with a content head both get the same vector."""
    model = build("sasrec-content", head="content", train=histories_of([[1, 2, 3, 4, 5, 6, 7]] * 3, 8))
    model.head.inputs[0].content.features[8] = model.head.inputs[0].content.features[2]
    vectors, _ = model.items()
    assert torch.equal(vectors[7], vectors[1])


@pytest.mark.parametrize("kind", ["content", "table+content"])
def test_a_content_head_without_content_is_refused(kind):
    said = rf"--head {re.escape(kind)} is for models that read|--head: should be 'table' or 'tied'"
    for settings in {spec.settings for spec in MODELS.values() if not spec.reads_content}:
        if issubclass(settings, WindowSettings):
            with pytest.raises(UsageError, match=said):
                resolve(settings, {"head": kind})


LOSS_NAMES = [name for name in dict(CASES) if "loss" in MODELS[name].settings.model_fields]


@pytest.mark.parametrize("name", LOSS_NAMES)
@pytest.mark.parametrize("loss", ["bce", "gbce", "bpr-max"])
@pytest.mark.parametrize("head", ["table", "tied"])
def test_binary_losses_learn_the_ring(build, ring, windows, name, loss, head):
    """A drawn negative is never in the user's history, so only users with short ones teach the difference."""
    model = build(name, loss=loss, head=head, drawn_negatives=3, dropout=0.0).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    batch = windows.batch(torch.arange(windows.count))
    torch.manual_seed(0)
    first = None
    for _ in range(40):
        optimizer.zero_grad()
        terms = model.losses(batch)
        assert next(iter(terms)) == loss
        total = terms[loss]
        first = total.item() if first is None else first
        total.backward()
        optimizer.step()
    assert total.item() < 0.5 * first


@torch.no_grad()
def test_scores_of_single_items_are_those_of_all(build, batch):
    head = build("sasrec-hybrid", head="table+content").head
    states, targets = torch.randn(3, 16), torch.tensor([1, 8, 3])
    drawn = torch.tensor([[2, 8], [1, 1], [4, 5]])
    everything = states @ head.vectors().T + head.bias
    taken, others = head.scores(states, targets, drawn)
    torch.testing.assert_close(taken, everything[torch.arange(3), targets - 1])
    torch.testing.assert_close(others, everything.gather(1, drawn - 1))


@torch.no_grad()
def test_negatives_are_drawn_for_the_windows_own_user(build, ring, windows):
    model = build("sasrec-id", loss="bce", drawn_negatives=5)
    seen = []
    draw = model.objective.negatives.draw
    model.objective.negatives.draw = lambda users: seen.append(users) or draw(users)
    batch = windows.batch(torch.arange(windows.count))
    model.losses(batch)
    expected = [
        user
        for user, row in zip(batch.users.tolist(), batch.real, strict=True)
        for _ in range(5 * int(row.sum()))
    ]
    assert seen[0].tolist() == expected


def test_the_tied_head_is_trained_through_both_sides(build, batch):
    model = build("sasrec-id", head="tied")
    states = model.states(batch.inputs)[batch.real].detach()
    full_softmax(states, model.head.vectors(), model.head.bias, batch.targets[batch.real]).backward()
    assert model.item_input.table.weight.grad[1:].any(dim=1).all()


def test_targets_count_from_one():
    """Item 1 is the first row of the table: the padding has none."""
    head = ItemHead(3, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[50.0, 0.0], [0.0, 50.0], [-50.0, -50.0]]))
    assert head(torch.tensor([[1.0, 0.0]]), torch.tensor([1])).item() == pytest.approx(0.0, abs=1e-6)
    assert head(torch.tensor([[0.0, 1.0]]), torch.tensor([1])).item() == pytest.approx(50.0, rel=1e-6)


WINDOW_NAMES = sorted({name for name, _ in CASES})


@pytest.mark.parametrize("name", WINDOW_NAMES)
@pytest.mark.parametrize("by", ["popularity", "uniform"])
def test_every_sequence_model_learns_the_ring_from_a_sample(build, windows, name, by):
    model = build(name, softmax_sample=4, softmax_sample_by=by, dropout=0.0).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    batch = windows.batch(torch.arange(windows.count))
    torch.manual_seed(0)
    for _ in range(60):
        optimizer.zero_grad()
        torch.stack(list(model.losses(batch).values())).sum().backward()
        optimizer.step()
    with torch.no_grad():
        vectors, bias = model.eval().items()
        best = (model.states(batch.inputs)[batch.real] @ vectors.T + bias).argmax(dim=1) + 1
    assert (best == batch.targets[batch.real]).float().mean() > 0.95
