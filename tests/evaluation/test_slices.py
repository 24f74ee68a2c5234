from typing import get_args

import numpy as np
import pytest

from tssr.evaluation.metrics import RankCounts
from tssr.evaluation.settings import By
from tssr.evaluation.slices import TITLES, slice_queries


def test_every_slicing_by_hand(ask):
    queries = ask([[1, 2, 3], [4] * 5, [1, 2] * 10, [3] * 50], [3, 1, 4, 3], 4)
    whole = queries.histories.items
    # The target follows its history in the flat array, as in a data set's; here a 9 stands for each.
    items = np.concatenate(
        [
            np.append(whole[s:e], 9)
            for s, e in zip(queries.histories.starts, queries.histories.ends, strict=True)
        ]
    )
    shift = np.arange(4)
    histories = type(queries.histories)(
        items, queries.histories.starts + shift, queries.histories.ends + shift, 4
    )
    queries = type(queries)(queries.users, histories, queries.targets)
    times = np.arange(len(items))
    times[histories.ends[1]] = times[histories.ends[1] - 1]
    found = slice_queries(queries, np.array([0, 0, 1, 5, 20]), times)
    assert set(found) == set(TITLES) == set(get_args(By))
    labels = {by: [slicing.labels[place] for place in slicing.place] for by, slicing in found.items()}
    assert labels == {
        "popularity": ["5-19", "0", "20+", "5-19"],
        "history": ["1-4", "5-9", "20-49", "50+"],
        "repeat": ["repeat target", "new target", "new target", "repeat target"],
        "tied": ["not tied", "tied", "not tied", "not tied"],
    }


def test_slices_add_up_to_the_whole(ask):
    draw = np.random.default_rng(0)
    lists = [draw.integers(1, 9, draw.integers(1, 60)).tolist() for _ in range(200)]
    queries = ask(lists, draw.integers(1, 9, 200).tolist(), 8)
    ranks = np.where(draw.random(200) < 0.2, np.nan, draw.integers(1, 30, 200))
    whole = RankCounts.of(ranks, 30).metrics((10,))
    times = draw.integers(0, 5, len(queries.histories.items) + 1)
    for by, slicing in slice_queries(queries, np.array([0, 0, 0, 1, 4, 5, 19, 20, 90]), times).items():
        measured = slicing.measure(ranks, 30, (10,))
        assert sum(entry["queries"] for entry in measured) == 200, by
        mean = sum(entry["queries"] * entry["metrics"]["ndcg@10"] for entry in measured) / 200
        assert mean == pytest.approx(whole["ndcg@10"]), by
