"""The blocked softmax against plain cross-entropy in float64, values and gradients."""

import pytest
import torch
import torch.nn.functional as F

from tssr.model import heads
from tssr.model.heads import ItemHead, full_softmax

P, N, D = 7, 11, 4


def materials(dtype=torch.float32):
    torch.manual_seed(5)
    states, items, bias = torch.randn(P, D), torch.randn(N, D), torch.randn(N)
    targets = torch.tensor([1, N, 3, 3, 7, 2, 1])
    return [part.to(dtype).requires_grad_() for part in (states, items, bias)], targets


@pytest.mark.parametrize("rows", [1, 2, 3, P, 100])
def test_loss_and_gradients_are_those_of_float64(monkeypatch, rows):
    monkeypatch.setattr(heads, "BLOCK_BYTES", 4 * N * rows)
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


def test_a_block_smaller_than_one_row_still_works(monkeypatch):
    parts, targets = materials()
    expected = full_softmax(*parts, targets)
    monkeypatch.setattr(heads, "BLOCK_BYTES", 1)
    assert full_softmax(*parts, targets).item() == pytest.approx(expected.item(), rel=1e-6)


def test_large_scores_do_not_overflow():
    states, items = torch.full((2, 1), 1e4), torch.tensor([[1.0], [-1.0], [0.5]])
    loss = full_softmax(states, items, torch.zeros(3), torch.tensor([1, 2]))
    assert loss.item() == pytest.approx(1e4, rel=1e-6)  # mean of 0 and 2e4


def test_targets_count_from_one():
    """Item 1 is the first row of the table: the padding has none."""
    head = ItemHead(3, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[50.0, 0.0], [0.0, 50.0], [-50.0, -50.0]]))
    assert head(torch.tensor([[1.0, 0.0]]), torch.tensor([1])).item() == pytest.approx(0.0, abs=1e-6)
    assert head(torch.tensor([[0.0, 1.0]]), torch.tensor([1])).item() == pytest.approx(50.0, rel=1e-6)


def test_loss_needs_no_gradient_to_be_asked():
    parts, targets = materials()
    with torch.no_grad():
        assert full_softmax(*parts, targets).item() > 0
