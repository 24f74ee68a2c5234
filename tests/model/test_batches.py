"""Windows against a brute force over plain lists."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tssr.core.dataset import Histories
from tssr.core.errors import DataError
from tssr.model.batches import Windows, newest

ITEM_COUNT = 9
CPU = torch.device("cpu")

item_lists = st.lists(
    st.lists(st.integers(1, ITEM_COUNT), min_size=0, max_size=11), min_size=1, max_size=6
).filter(lambda lists: any(len(items) > 1 for items in lists))


def as_histories(lists, stray=()):
    """The lists as bounds into one array; `stray` items lie behind each list and belong to nobody."""
    flat, starts, ends = [], [], []
    for items in lists:
        starts.append(len(flat))
        flat += items
        ends.append(len(flat))
        flat += stray
    bounds = np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64)
    return Histories(np.array(flat, dtype=np.int32), *bounds, ITEM_COUNT)


def left_padded(items, length):
    return [0] * (length - len(items)) + list(items)


def cut_by_hand(items, length, which):
    """Windows of (inputs, targets), the newest first."""
    cut = []
    end = len(items) - 1  # of the inputs
    while end > 0:
        low = max(0, end - length)
        cut.append((left_padded(items[low:end], length), left_padded(items[low + 1 : end + 1], length)))
        end = low
        if which == "last":
            break
    return cut


@settings(max_examples=150, deadline=None)
@given(lists=item_lists, length=st.integers(1, 6), which=st.sampled_from(["last", "all"]))
def test_windows_are_those_cut_by_hand(lists, length, which):
    windows = Windows(as_histories(lists, stray=[ITEM_COUNT] * 3), length, which, CPU)
    expected = [window for items in lists for window in cut_by_hand(items, length, which)]
    batch = windows.batch(torch.arange(windows.count))
    assert windows.count == len(expected)
    assert batch.inputs.tolist() == [inputs for inputs, _ in expected]
    assert batch.targets.tolist() == [targets for _, targets in expected]
    owners = [user for user, items in enumerate(lists) for _ in cut_by_hand(items, length, which)]
    assert batch.users.tolist() == owners
    assert windows.transitions == int(batch.real.sum())
    assert torch.equal(batch.real, batch.targets != 0)


@settings(max_examples=100, deadline=None)
@given(lists=item_lists, length=st.integers(1, 6))
def test_every_action_but_a_users_first_is_a_target_once_under_all(lists, length):
    """Items are replaced by their place, so each target tells which action it is."""
    places = [[1 + place for place in range(len(items))] for items in lists]
    histories = as_histories(places)
    windows = Windows(histories, length, "all", CPU)
    targets = windows.batch(torch.arange(windows.count)).targets
    taken = sorted(targets[targets > 0].tolist())
    assert taken == sorted(place for items in places for place in items[1:])


def test_a_batch_is_the_windows_asked_for():
    windows = Windows(as_histories([[1, 2, 3], [4, 5]]), 2, "last", CPU)
    batch = windows.batch(torch.tensor([1, 0, 1]))
    assert batch.users.tolist() == [1, 0, 1]
    assert batch.inputs.tolist() == [[0, 4], [1, 2], [0, 4]]
    assert batch.targets.tolist() == [[0, 5], [2, 3], [0, 5]]


def test_nothing_to_learn_from_is_said():
    with pytest.raises(DataError, match=r"no user has two training actions.*--min-actions"):
        Windows(as_histories([[1], [2], []]), 3, "all", CPU)


def test_bounds_keep_held_out_items_out_of_every_batch():
    """The canary, item 9, lies in the array right after each user's bounds."""
    windows = Windows(as_histories([[1, 2, 3], [4, 5]], stray=[9]), 2, "all", CPU)
    batch = windows.batch(torch.arange(windows.count))
    assert 9 not in batch.inputs
    assert 9 not in batch.targets


@settings(max_examples=100, deadline=None)
@given(lists=item_lists, length=st.integers(1, 6), data=st.data())
def test_newest_are_the_last_items_left_padded(lists, length, data):
    low = data.draw(st.integers(0, len(lists) - 1))
    high = data.draw(st.integers(low, len(lists)))
    result = newest(as_histories(lists, stray=[ITEM_COUNT]), low, high, length)
    assert result.dtype == torch.int64
    assert result.tolist() == [left_padded(items[-length:], length) for items in lists[low:high]]
