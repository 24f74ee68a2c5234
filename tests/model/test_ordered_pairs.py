"""Counts of pairs and looking them up, against loops."""

import numpy as np

from tssr.model.ordered_pairs import NEARNESS, REACH, SHRINK, count_ordered_pairs, looked_up


def test_counts_are_what_loops_find_in_both_orders(histories_of):
    draw = np.random.default_rng(5)
    lists = [draw.integers(1, 9, draw.integers(1, 30)).tolist() for _ in range(12)]
    after = np.zeros((9, 9))
    for items in lists:
        for place, item in enumerate(items):
            for steps in range(1, REACH + 1):
                if place + steps < len(items) and items[place + steps] != item:
                    after[item, items[place + steps]] += NEARNESS ** (steps - 1)
    pairs = count_ordered_pairs(histories_of(lists, 8))
    found = np.zeros((9, 9, 2))
    found[pairs.sources, pairs.targets] = pairs.counts
    np.testing.assert_allclose(found, np.stack([after, after.T], axis=2), atol=1e-12)
    assert (np.diff(pairs.keys) > 0).all()
    assert [pairs.starts[item + 1] - pairs.starts[item] for item in range(9)] == [
        np.count_nonzero(after[item] + after[:, item]) for item in range(9)
    ]
    taken = np.bincount(np.concatenate(lists), minlength=9)
    i, j = pairs.sources[3], pairs.targets[3]
    expected = pairs.counts[3] / np.sqrt((taken[i] + SHRINK) * (taken[j] + SHRINK))
    np.testing.assert_allclose(pairs.strengths[3], expected)


def test_blocks_change_no_bit(histories_of, monkeypatch):
    draw = np.random.default_rng(6)
    train = histories_of([draw.integers(1, 31, draw.integers(1, 40)).tolist() for _ in range(30)], 30)
    whole = count_ordered_pairs(train)
    monkeypatch.setattr("tssr.model.ordered_pairs.MEETINGS_AT_ONCE", 300)
    parts = count_ordered_pairs(train)
    for name in ("sources", "targets", "counts"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_an_item_keeps_those_it_leads_to_most_strongly(histories_of):
    draw = np.random.default_rng(7)
    train = histories_of([draw.integers(1, 31, 20).tolist() for _ in range(30)], 30)
    whole, kept = count_ordered_pairs(train), count_ordered_pairs(train, most=5)
    for item in range(1, 31):
        own = slice(whole.starts[item], whole.starts[item + 1])
        best = sorted(zip(-whole.leads[own], whole.targets[own], strict=True))[:5]
        found = kept.targets[kept.starts[item] : kept.starts[item + 1]]
        assert found.tolist() == sorted(target for _, target in best)


def test_what_is_not_there_is_zero_also_where_nothing_is():
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = looked_up(np.array([2, 5]), values, np.array([[0, 2], [5, 9]]))
    assert found.tolist() == [[[0, 0], [1, 2]], [[3, 4], [0, 0]]]
    assert looked_up(np.array([], dtype=int), np.zeros((0, 2)), np.array([1, 2])).tolist() == [[0, 0]] * 2


def test_histories_of_one_action_have_no_pairs(histories_of):
    pairs = count_ordered_pairs(histories_of([[1], [2], []], 3))
    assert (len(pairs.sources), pairs.counts.shape) == (0, (0, 2))
