import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tssr.model.negatives import Negatives

ITEM_COUNT = 5


@settings(max_examples=60, deadline=None)
@given(
    lists=st.lists(st.lists(st.integers(1, ITEM_COUNT), max_size=7), min_size=1, max_size=5),
    seed=st.integers(0, 1000),
)
def test_every_free_item_is_drawn_and_no_other(histories_of, lists, seed):
    torch.manual_seed(seed)
    users = torch.arange(len(lists)).repeat_interleave(200)
    drawn = Negatives(histories_of(lists, ITEM_COUNT)).draw(users)
    for user, items in enumerate(lists):
        free = set(range(1, ITEM_COUNT + 1)) - set(items)
        found = set(drawn[users == user].tolist())
        assert found == free if free else found <= set(range(1, ITEM_COUNT + 1))


def test_free_items_are_drawn_evenly(histories_of):
    torch.manual_seed(0)
    drawn = Negatives(histories_of([[2, 2, 4]], ITEM_COUNT)).draw(torch.zeros(30_000, dtype=torch.long))
    shares = drawn.bincount(minlength=ITEM_COUNT + 1) / len(drawn)
    torch.testing.assert_close(shares[[1, 3, 5]], torch.full((3,), 1 / 3), rtol=0, atol=0.015)
