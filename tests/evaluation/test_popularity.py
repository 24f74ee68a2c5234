import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tssr.evaluation import popularity
from tssr.evaluation.metrics import RankCounts
from tssr.evaluation.popularity import PopularityGroups
from tssr.evaluation.ranking import Ranks


def test_docstring_examples():
    assert doctest.testmod(popularity) == (0, 1)


@pytest.mark.parametrize(
    ("counts", "titles"),
    [
        ([0, 4, 4, 4], ["rare (4)"]),
        ([0, 0, 0, 2], ["new (0)", "rare (2)"]),
        ([0, 1, 1, 1, 1, 2, 7], ["rare (1)", "frequent (2-7)"]),
        ([0, 5, 1, 3], ["rare (1)", "middle (3)", "frequent (5)"]),
    ],
)
def test_items_of_one_count_stay_together(counts, titles):
    assert PopularityGroups.of(np.array(counts)).titles == titles


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40).filter(any))
def test_groups_hold_every_item_once_and_follow_the_counts(counts):
    groups = PopularityGroups.of(np.array([0, *counts]))
    group = groups.group[1:]
    assert groups.group[0] == -1
    assert set(group.tolist()) == set(range(len(groups.titles)))
    for one, other in zip(counts, group, strict=True):
        for count, place in zip(counts, group, strict=True):
            assert (one == count) <= (other == place)
            assert (one < count) <= (other <= place)


@given(st.integers(3, 60))
def test_thirds_are_even_where_counts_differ(count):
    sizes = np.bincount(PopularityGroups.of(np.arange(count + 1)).group[1:])
    assert sizes.max() - sizes.min() <= 1


def test_metrics_by_group():
    groups = PopularityGroups.of(np.array([0, 1, 5, 9, 0]))
    ranks = Ranks(
        np.arange(4, dtype=np.int32),
        np.array([1, 3, 3, 4], dtype=np.int32),
        {"none": np.array([1.0, 3.0, np.nan, 20.0])},
        100,
    )
    found = groups.measure(ranks, "none", (10,))
    assert {title: metrics["queries"] for title, metrics in found.items()} == {
        "new (0)": 1, "rare (1)": 1, "frequent (9)": 2,
    }  # fmt: skip
    assert found["frequent (9)"]["recall@10"] == 1 / 2
    assert found["frequent (9)"]["ndcg@10"] == 1 / 4
    assert found["new (0)"]["recall@10"] == 0
    whole = RankCounts.of(ranks.by_mask["none"], 100).metrics((10,))
    weighted = sum(metrics["queries"] * metrics["ndcg@10"] for metrics in found.values()) / 4
    assert weighted == pytest.approx(whole["ndcg@10"])
