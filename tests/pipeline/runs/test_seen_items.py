"""The note below lists of items that their users have already."""

from types import SimpleNamespace

import numpy as np
import pytest

from tssr.core.dataset import Histories
from tssr.pipeline.runs.seen_items import HARDLY_ANY, seen_items_note


def histories(*of):
    lengths = [len(history) for history in of]
    ends = np.cumsum(lengths).astype(np.int64)
    items = np.array([item for history in of for item in history], dtype=np.int32)
    return Histories(items, ends - lengths, ends, 300)


def noted(whole, asked, lists):
    dataset = SimpleNamespace(histories=whole, info=SimpleNamespace(name="shop"))
    return seen_items_note(dataset, asked, SimpleNamespace(items=np.array(lists)))


def test_lists_with_seen_items_are_counted_where_hardly_anything_is_taken_twice():
    asked = histories([1, 2], [3], [])
    words = "though 0.0% of the actions in shop are repeats; --mask hard leaves them out"
    whole = histories([1, 2, 3], [4, 5])
    assert noted(whole, asked, [[2, 9], [9, 3], [9, 8]]) == [
        f"2 of 3 lists hold items that the user has already, {words}"
    ]
    assert noted(whole, asked, [[9, 8], [1, 2], [0, 0]]) == [], "an item that another user has is not seen"


@pytest.mark.parametrize(("repeats", "said"), [(1, True), (2, False)])
def test_the_bound_is_a_share_of_the_actions(repeats, said):
    """With 200 actions of one user, 1 repeat is .5 % and 2 repeats are the 1 % from which nothing is said."""
    whole = histories([*range(1, 201 - repeats), *range(1, repeats + 1)])
    assert (repeats / 200 < HARDLY_ANY) == said
    assert bool(noted(whole, histories([1]), [[1]])) == said
