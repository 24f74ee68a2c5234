import numpy as np
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tssr.core.dataset import Histories, LoadedDataset
from tssr.model.negatives import Negatives

ITEM_COUNT = 5


@settings(max_examples=60, deadline=None)
@given(
    lists=st.lists(st.lists(st.integers(1, ITEM_COUNT), max_size=7), min_size=1, max_size=5),
    seed=st.integers(0, 1000),
)
def test_every_free_item_of_training_is_drawn_and_no_other(histories_of, lists, seed):
    torch.manual_seed(seed)
    known = set().union(*lists)
    assume(known)
    users = torch.arange(len(lists)).repeat_interleave(200)
    drawn = Negatives(histories_of(lists, ITEM_COUNT)).draw(users)
    for user, items in enumerate(lists):
        free = known - set(items)
        found = set(drawn[users == user].tolist())
        assert found == free if free else found <= known


def test_free_items_are_drawn_evenly(histories_of):
    torch.manual_seed(0)
    train = histories_of([[2, 2, 4], [1, 3, 5, 5]], ITEM_COUNT)
    drawn = Negatives(train).draw(torch.zeros(30_000, dtype=torch.long))
    shares = drawn.bincount(minlength=ITEM_COUNT + 1) / len(drawn)
    torch.testing.assert_close(shares[[1, 3, 5]], torch.full((3,), 1 / 3), rtol=0, atol=0.015)


def test_a_canary_that_is_only_a_target_is_never_drawn():
    canary = ITEM_COUNT
    histories = Histories(
        np.array([1, 2, 3, canary, 2, 1, 4, 3], np.int32), np.array([0, 4]), np.array([4, 8]), ITEM_COUNT
    )
    train = LoadedDataset(None, histories).leave_one_out().train
    drawn = Negatives(train).draw(torch.tensor([0, 1]).repeat(2000))
    assert set(drawn.tolist()) <= {1, 2}
