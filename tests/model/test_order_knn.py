"""Order-KNN against a loop over all pairs, and what its order, its decay and its division by counts do."""

import numpy as np
import pytest
import torch

from tssr.core.dataset import Queries
from tssr.model.materials import Materials
from tssr.model.order_knn import OrderKNN
from tssr.model.ordered_pairs import BACK, NEARNESS, REACH, SHRINK
from tssr.model.settings import OrderKNNSettings


def asked(histories):
    count = len(histories)
    return Queries(np.arange(count, dtype=np.int32), histories, np.ones(count, dtype=np.int32))


def order_knn(train, length=5, **chosen):
    materials = Materials(train.item_count, length, [], train, torch.from_numpy(train.counts()))
    return OrderKNN(materials, OrderKNNSettings(**chosen))


def by_loops(lists, history, item_count, length, decay):
    """The scores of all items for one history, from the words of the header."""
    taken = np.zeros(item_count + 1)
    leads = np.zeros((item_count + 1, item_count + 1))
    for items in lists:
        for place, item in enumerate(items):
            taken[item] += 1
            for steps in range(1, REACH + 1):
                if place + steps < len(items) and items[place + steps] != item:
                    leads[item, items[place + steps]] += NEARNESS ** (steps - 1)
                    leads[items[place + steps], item] += BACK * NEARNESS ** (steps - 1)
    scores, whole = np.zeros(item_count + 1), 0.0
    for back, item in enumerate(history[::-1][:length]):
        whole += decay**back
        scores += decay**back * leads[item] / np.sqrt((taken[item] + SHRINK) * (taken + SHRINK))
    return scores[1:] / whole if whole else scores[1:]


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_scores_are_what_loops_over_all_pairs_find(histories_of, decay):
    draw = np.random.default_rng(3)
    lists = [draw.integers(1, 13, draw.integers(1, 30)).tolist() for _ in range(20)]
    model = order_knn(histories_of(lists, 12), decay=decay)
    found = model.scores(asked(histories_of(lists, 12)), 3, 11)
    expected = [by_loops(lists, items, 12, 5, decay) for items in lists[3:11]]
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_what_came_after_is_nearer_than_what_came_before(histories_of):
    model = order_knn(histories_of([[1, 2, 3]] * 4, 4))
    before, itself, after, never = model.scores(asked(histories_of([[2]], 4)), 0, 1)[0]
    assert after > before > 0
    assert itself == never == 0


def test_what_everybody_takes_does_not_follow_everything(histories_of):
    """3 and 4 followed 1 equally often; 4 was taken by fifty others as well."""
    model = order_knn(histories_of([[1, 3], [1, 4], *[[4]] * 50], 4))
    scores = model.scores(asked(histories_of([[1]], 4)), 0, 1)[0]
    assert scores[2] > 1.1 * scores[3]


def test_an_empty_history_and_users_of_one_action_give_zeros(histories_of):
    model = order_knn(histories_of([[1], [2]], 3))
    assert not model.scores(asked(histories_of([[], [1, 2]], 3)), 0, 2).any()
