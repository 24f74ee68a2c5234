"""Both softmaxes against plain cross-entropy in float64, values and gradients."""

import pytest
import torch
import torch.nn.functional as F

from tssr.core.errors import UsageError
from tssr.core.settings import resolve
from tssr.model import softmax
from tssr.model.heads import ItemHead
from tssr.model.settings import ESASRecSettings, SASRecSettings
from tssr.model.softmax import ItemSample, full_softmax, sampled_softmax

P, N, D = 7, 11, 4


def materials(dtype=torch.float32):
    torch.manual_seed(5)
    states, items, bias = torch.randn(P, D), torch.randn(N, D), torch.randn(N)
    targets = torch.tensor([1, N, 3, 3, 7, 2, 1])
    return [part.to(dtype).requires_grad_() for part in (states, items, bias)], targets


@pytest.mark.parametrize("rows", [1, 2, 3, P, 100])
@pytest.mark.parametrize("cached", [1, 2, 100])
def test_loss_and_gradients_are_those_of_float64(monkeypatch, rows, cached):
    monkeypatch.setattr(softmax, "ROWS_CPU", rows)
    monkeypatch.setattr(softmax, "CACHE_BYTES", 4 * N * cached)
    parts, targets = materials()
    exact, _ = materials(torch.float64)
    weight = 2.5  # the loss enters a weighted sum, so the incoming gradient is not 1

    loss = full_softmax(*parts, targets)
    (weight * loss).backward()
    expected = F.cross_entropy(exact[0] @ exact[1].T + exact[2], targets - 1)
    (weight * expected).backward()

    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for part, reference in zip(parts, exact, strict=True):
        torch.testing.assert_close(part.grad.double(), reference.grad, rtol=1e-5, atol=1e-6)


def test_a_cache_smaller_than_one_row_still_works(monkeypatch):
    parts, targets = materials()
    expected = full_softmax(*parts, targets)
    monkeypatch.setattr(softmax, "CACHE_BYTES", 1)
    assert full_softmax(*parts, targets).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("item_count", [3, 1025, 20_000])
def test_catalogues_of_any_size_are_right(item_count):
    """The softmax is taken in place; what a kernel does may depend on the length of a row."""
    torch.manual_seed(2)
    parts = [torch.randn(9, D), torch.randn(item_count, D), torch.randn(item_count)]
    targets = torch.randint(1, item_count + 1, (9,))
    exact = [part.double().requires_grad_() for part in parts]
    parts = [part.requires_grad_() for part in parts]
    full_softmax(*parts, targets).backward()
    F.cross_entropy(exact[0] @ exact[1].T + exact[2], targets - 1).backward()
    for part, reference in zip(parts, exact, strict=True):
        torch.testing.assert_close(part.grad.double(), reference.grad, rtol=1e-5, atol=1e-6)


def test_large_scores_do_not_overflow():
    states, items = torch.full((2, 1), 1e4), torch.tensor([[1.0], [-1.0], [0.5]])
    loss = full_softmax(states, items, torch.zeros(3), torch.tensor([1, 2]))
    assert loss.item() == pytest.approx(1e4, rel=1e-6)  # mean of 0 and 2e4


def test_loss_needs_no_gradient_to_be_asked():
    parts, targets = materials()
    with torch.no_grad():
        assert full_softmax(*parts, targets).item() > 0


def sampled_head(size, by_popularity=False):
    """A head that draws; item n was taken n² times."""
    counts = torch.arange(1, N + 1) ** 2 if by_popularity else torch.ones(N, dtype=torch.long)
    return ItemHead(N, D, sample=ItemSample(counts, size)), counts


def set_weights(head):
    (states, items, bias), targets = materials()
    with torch.no_grad():
        head.weight.copy_(items)
        head.bias.copy_(bias)
    return states, targets


def test_with_every_item_drawn_it_is_the_full_softmax():
    head, _ = sampled_head(N)
    states, targets = set_weights(head)
    sampled = head(states, targets)
    found = torch.autograd.grad(sampled, (states, head.weight, head.bias))
    head.sample = None
    full = head(states, targets)
    expected = torch.autograd.grad(full, (states, head.weight, head.bias))
    assert sampled.item() == pytest.approx(full.item(), rel=1e-6)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("by_popularity", [False, True])
@pytest.mark.parametrize("size", [3, 40])
def test_items_are_drawn_as_often_as_expected(by_popularity, size):
    head, counts = sampled_head(size, by_popularity)
    torch.manual_seed(0)
    times, expected = torch.zeros(N), counts / counts.sum() * size
    rounds = 1000
    for _ in range(rounds):
        items, log_expected = head.sample.draw()
        times += torch.bincount(items - 1, minlength=N)
        torch.testing.assert_close(log_expected.exp(), expected[items - 1])
    assert torch.allclose(times / rounds, expected, atol=0.05)


@pytest.mark.parametrize("by_popularity", [False, True])
def test_the_sum_over_a_sample_is_on_average_that_over_all_items(by_popularity):
    """exp(loss) is the sum over items, divided by the next item's part: unbiased, whatever is drawn by."""
    head, _ = sampled_head(4, by_popularity)
    states, targets = set_weights(head)
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = torch.stack([head(states[:1] / 2, targets[:1]).exp() for _ in range(5_000)])
        head.sample = None
        full = head(states[:1] / 2, targets[:1]).exp()
    assert drawn.mean().item() == pytest.approx(full.item(), rel=0.1)


def test_the_gradient_is_on_average_nearly_that_of_all_items():
    head, _ = sampled_head(200, by_popularity=True)
    states, targets = set_weights(head)
    torch.manual_seed(0)
    total = torch.zeros(N, D)
    for _ in range(100):
        total += torch.autograd.grad(head(states, targets), head.weight)[0]
    sample, drawn = head.sample, total / 100
    head.sample = None
    full = torch.autograd.grad(head(states, targets), head.weight)[0]
    assert (drawn - full).norm() < 0.05 * full.norm()
    head.sample = sample
    sample.weights = torch.full_like(sample.weights, int(sample.weights.sum()) // N)  # no correction
    biased = torch.autograd.grad(head(states, targets), head.weight)[0]
    assert (biased - full).norm() > 0.2 * full.norm()


def test_the_next_item_counts_once_though_it_was_drawn():
    taken, scores = torch.tensor([1.0]), torch.tensor([[1.0, 0.5]])
    is_target = torch.tensor([[True, False]])
    loss = sampled_softmax(taken, scores, is_target, torch.log(torch.tensor([0.25, 0.5])))
    one, half = torch.tensor(1.0).exp(), torch.tensor(0.5).exp()
    assert loss.item() == pytest.approx(torch.log((one + half / 0.5) / one).item(), rel=1e-6)


def test_a_sample_makes_nothing_as_large_as_the_catalogue_but_the_gradient():
    """Of the tensors that a step allocates, only the table's gradient has N rows."""
    item_count = 50_000
    head = ItemHead(item_count, D, sample=ItemSample(torch.ones(item_count, dtype=torch.long), 8))
    states, targets = torch.randn(P, D, requires_grad=True), torch.randint(1, item_count, (P,))
    with torch.profiler.profile(profile_memory=True) as watch:
        head(states, targets)
    assert max(event.cpu_memory_usage for event in watch.events()) < item_count


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"softmax_sample_by": "uniform"},
            "--softmax-sample-by says how --softmax-sample draws; give that too",
        ),
        ({"drawn_negatives": 9}, "--drawn-negatives is for --loss bce or gbce or bpr-max, not ce"),
        ({"loss": "bce", "gbce_calibration": 0.5}, "--gbce-calibration is for --loss gbce, not bce"),
        ({"loss": "gbce", "bpr_max_l2": 0.5}, "--bpr-max-l2 is for --loss bpr-max, not gbce"),
    ],
)
def test_a_setting_of_another_loss_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        resolve(SASRecSettings, settings)


def test_a_way_to_draw_that_is_not_the_models_own_needs_a_sample():
    """The default of esasrec is uniform, which stands there also without a sample."""
    assert resolve(ESASRecSettings, {"softmax_sample": 0}).softmax_sample_by == "uniform"
    with pytest.raises(UsageError, match="--softmax-sample-by says how --softmax-sample draws"):
        resolve(ESASRecSettings, {"softmax_sample": 0, "softmax_sample_by": "popularity"})


def test_a_sample_is_for_cross_entropy_alone():
    with pytest.raises(UsageError, match="--softmax-sample is for --loss ce; gbce has --drawn-negatives"):
        resolve(SASRecSettings, {"loss": "gbce", "softmax_sample": 10})
