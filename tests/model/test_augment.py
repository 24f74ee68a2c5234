"""Views are what their definition allows, whatever the lot."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tssr.model.augment import crop, mask, reorder

TOKEN, LENGTH = 99, 8
windows = st.lists(st.lists(st.integers(1, 50), max_size=LENGTH, unique=True), min_size=1, max_size=5)
shares = st.floats(0.05, 1.0)


def padded(lists):
    return torch.tensor([[0] * (LENGTH - len(items)) + items for items in lists])


def unpadded(window):
    items = window.tolist()
    real = [item for item in items if item]
    assert items == [0] * (LENGTH - len(real)) + real, "left-padded"
    return real


@settings(max_examples=100, deadline=None)
@given(windows, shares, st.integers(0, 99))
def test_a_crop_is_one_stretch(lists, share, seed):
    torch.manual_seed(seed)
    for items, view in zip(lists, crop(padded(lists), share), strict=True):
        kept = unpadded(view)
        assert len(kept) == (max(1, int(len(items) * torch.tensor(share))) if items else 0)
        assert kept in [items[low : low + len(kept)] for low in range(len(items) + 1)]


@settings(max_examples=100, deadline=None)
@given(windows, shares, st.integers(0, 99))
def test_a_mask_hides_its_share_and_leaves_the_rest(lists, share, seed):
    torch.manual_seed(seed)
    for items, view in zip(lists, mask(padded(lists), share, TOKEN), strict=True):
        seen = unpadded(view)
        assert [a for a, b in zip(seen, items, strict=True) if a not in (b, TOKEN)] == []
        assert seen.count(TOKEN) == int(len(items) * torch.tensor(share))


@settings(max_examples=100, deadline=None)
@given(windows, shares, st.integers(0, 99))
def test_a_reorder_shuffles_one_stretch(lists, share, seed):
    torch.manual_seed(seed)
    for items, view in zip(lists, reorder(padded(lists), share), strict=True):
        seen = unpadded(view)
        assert sorted(seen) == sorted(items)
        moved = [place for place, (a, b) in enumerate(zip(seen, items, strict=True)) if a != b]
        if moved:
            assert moved[-1] - moved[0] < int(len(items) * torch.tensor(share))


@pytest.mark.parametrize(
    ("operator", "outcomes"),
    [
        (lambda window: crop(window, 0.5), 3),
        (lambda window: mask(window, 0.5, TOKEN), 6),
        (lambda window: reorder(window, 1.0), 24),
    ],
)
def test_every_outcome_is_drawn_and_the_window_stays(operator, outcomes):
    torch.manual_seed(0)
    inputs = padded([[1, 2, 3, 4]]).repeat(400, 1)
    before = inputs.clone()
    assert len({tuple(unpadded(view)) for view in operator(inputs)}) == outcomes
    assert torch.equal(inputs, before)
