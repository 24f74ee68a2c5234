"""ItemKNN against a brute force, and against known figures on public data."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tssr.core.dataset import LoadedDataset, Queries
from tssr.evaluation.metrics import RankCounts
from tssr.evaluation.ranking import RankingOptions, rank_targets
from tssr.evaluation.scoring import DenseScorer
from tssr.model import itemknn
from tssr.model.itemknn import ItemKNN
from tssr.model.materials import Materials
from tssr.model.settings import ItemKNNSettings

ITEM_COUNT = 7
item_lists = st.lists(st.lists(st.integers(1, ITEM_COUNT), max_size=6), min_size=1, max_size=8)


def built(train, **chosen):
    materials = Materials(train.item_count, 5, [], train, torch.from_numpy(train.counts()))
    return ItemKNN(materials, ItemKNNSettings(**chosen))


def ask(histories):
    users = np.arange(len(histories), dtype=np.int32)
    return Queries(users, histories, np.ones(len(histories), dtype=np.int32))


def similarities_by_loop(lists, shrink):
    takers = {i: {u for u, items in enumerate(lists) if i in items} for i in range(1, ITEM_COUNT + 1)}
    similar = {}
    for i, of_i in takers.items():
        for j, of_j in takers.items():
            if i != j and of_i & of_j:
                similar[i, j] = len(of_i & of_j) / (math.sqrt(len(of_i) * len(of_j)) + shrink + 1e-6)
    return similar


@settings(max_examples=100, deadline=None)
@given(
    train=item_lists,
    asked=item_lists,
    shrink=st.sampled_from([0.0, 2.5]),
    neighbours=st.integers(0, 3),
    at_once=st.sampled_from([1, 20, 1 << 20]),
)
def test_scores_are_sums_over_the_nearest_neighbours(histories_of, train, asked, shrink, neighbours, at_once):
    similar = similarities_by_loop(train, shrink)
    nearest = {}
    for i in range(1, ITEM_COUNT + 1):
        mine = sorted((-value, j) for (of, j), value in similar.items() if of == i)
        nearest[i] = {j: -value for value, j in mine[: neighbours or None]}
    expected = [
        [sum(nearest[j].get(i, 0.0) for i in set(items)) for j in range(1, ITEM_COUNT + 1)] for items in asked
    ]
    before, itemknn.MEETINGS_AT_ONCE = itemknn.MEETINGS_AT_ONCE, at_once
    try:
        model = built(histories_of(train, ITEM_COUNT), shrink=shrink, neighbours=neighbours)
    finally:
        itemknn.MEETINGS_AT_ONCE = before
    scores = model.scores(ask(histories_of(asked, ITEM_COUNT)), 0, len(asked))
    np.testing.assert_allclose(scores, np.array(expected), atol=1e-9)


def test_scores_that_tie_are_equal(histories_of):
    """Items 4 and 5 get the same sum from items 1, 2, 3, whatever order it is taken in."""
    train = [[1, 4], [2, 4], [2, 6], [3, 4], [3, 6], [3, 7], [1, 5], [2, 5], [3, 5]]
    scores = built(histories_of(train, ITEM_COUNT)).scores(ask(histories_of([[3, 1, 2]], ITEM_COUNT)), 0, 1)[
        0
    ]
    assert scores[3] == scores[4] > 0


def test_a_held_out_item_has_no_neighbour(histories_of):
    histories = histories_of([[1, 2, 3, 7], [2, 1, 4, 3]], ITEM_COUNT)
    train = LoadedDataset(None, histories).split().train
    scores = built(train).scores(ask(histories), 0, 2)
    assert scores[:, 6].tolist() == [0.0, 0.0]


def s3rec(histories_of, folder, name):
    path = folder / "s3rec" / f"{name}.txt"
    lists = [[int(item) for item in line.split()[1:]] for line in path.read_text().splitlines()]
    return LoadedDataset(None, histories_of(lists, max(map(max, lists)))).split()


# HR@10 and NDCG@10 on the test split by (shrink, history mask): own regression values of an independent
# NumPy implementation, all neighbours kept.
FIGURES = {
    "Toys_and_Games": {
        (0, "hard"): (0.0669, 0.0392),
        (10, "hard"): (0.0725, 0.0428),
        (50, "hard"): (0.0704, 0.0411),
        (10, "none"): (0.0564, 0.0301),
    },
    "Beauty": {
        (0, "hard"): (0.0570, 0.0326),
        (10, "hard"): (0.0633, 0.0362),
        (50, "hard"): (0.0641, 0.0358),
        (10, "none"): (0.0504, 0.0264),
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_known_figures(shared_data, histories_of, name):
    split = s3rec(histories_of, shared_data, name)
    for shrink in (0, 10, 50):
        model = built(split.train, shrink=float(shrink), neighbours=0)
        scorer = DenseScorer(lambda lo, hi, model=model: model.scores(split.test, lo, hi))
        ranks = rank_targets(split.test, scorer, RankingOptions(("none", "hard"), depth=10))
        for mask in ("none", "hard"):
            if (shrink, mask) in FIGURES[name]:
                found = RankCounts.of(ranks.by_mask[mask], 10).metrics((10,))
                hits, gain = FIGURES[name][shrink, mask]
                assert found["recall@10"] == pytest.approx(hits, abs=5e-5), (shrink, mask)
                assert found["ndcg@10"] == pytest.approx(gain, abs=5e-5), (shrink, mask)
