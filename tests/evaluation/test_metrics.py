from dataclasses import replace
from fractions import Fraction
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tssr.evaluation.measurement import Measurement, Protocol
from tssr.evaluation.metrics import LIST_METRICS, RANK_METRICS, RankCounts, metric_title
from tssr.evaluation.rank_metrics import mrr_at, ndcg_at, recall_at


@pytest.mark.parametrize("name", [*RANK_METRICS, *LIST_METRICS])
def test_an_entry_has_title_formula_source_and_a_worked_example(name):
    entry = (RANK_METRICS | LIST_METRICS)[name]
    assert metric_title(f"{name}@10") == f"{entry.title}@10"
    assert entry.formula
    assert entry.source
    function = entry.gain if name in RANK_METRICS else entry.measure
    assert ">>>" in function.__doc__


def test_ten_ranks_by_hand():
    ranks = np.array([1, 1, 2, 2.5, 3, 7, 10, 10.5, 50, np.nan])
    found = RankCounts.of(ranks, depth=100).metrics((1, 10, 20))
    assert found["recall@1"] == pytest.approx(2 / 10)
    assert found["recall@10"] == pytest.approx(8 / 10)
    assert found["recall@20"] == pytest.approx(8 / 10)
    hits = [1, 1, 2, Fraction(5, 2), 3, 7, 10, Fraction(21, 2)]
    assert found["mrr@10"] == pytest.approx(float(sum(1 / Fraction(rank) for rank in hits)) / 10)
    assert found["ndcg@10"] == pytest.approx(sum(1 / log2(rank + 1) for rank in hits) / 10)
    assert found["ndcg@1"] == pytest.approx(2 / 10)
    assert found["ndcg@20"] == pytest.approx(found["ndcg@10"])
    assert RankCounts.of(ranks, depth=100).metrics((50,))["recall@50"] == pytest.approx(9 / 10)


def test_a_hit_has_fewer_than_k_items_before_it():
    ranks = np.array([10.0, 10.5, 11.0])  # 10.5: nine are better, and one is as good: 9.5 stand before
    for metric in (recall_at, ndcg_at, mrr_at):
        assert (metric(ranks, 10) > 0).tolist() == [True, True, False]
    assert RankCounts.of(ranks[:2], depth=10).metrics((10,))["recall@10"] == 1


HALVES = st.lists(st.one_of(st.just(np.nan), st.integers(2, 61).map(lambda half: half / 2)), min_size=1)


@given(HALVES, st.integers(1, 30))
def test_counts_give_the_mean_over_queries(values, k):
    ranks = np.array(values)
    found = RankCounts.of(ranks, depth=30).metrics((k,))
    assert found[f"recall@{k}"] == pytest.approx(recall_at(ranks, k).mean())
    assert found[f"ndcg@{k}"] == pytest.approx(ndcg_at(ranks, k).mean())
    assert found[f"mrr@{k}"] == pytest.approx(mrr_at(ranks, k).mean())
    assert 0 <= found[f"mrr@{k}"] <= found[f"ndcg@{k}"] <= found[f"recall@{k}"] <= 1


@given(HALVES, st.data())
def test_shards_of_any_size_give_the_same_bits(values, data):
    ranks = np.array(values)
    cut = data.draw(st.integers(0, len(ranks)))
    whole = RankCounts.of(ranks, depth=30)
    joined = RankCounts.of(ranks[cut:], depth=30) + RankCounts.of(ranks[:cut], depth=30)
    assert joined.metrics((5, 10)) == whole.metrics((5, 10))
    assert joined.queries == len(ranks)


def test_a_number_travels_with_its_protocol():
    protocol = Protocol(split="test", queries=19412, candidates=11924, mask="exempt", window=10)
    assert protocol.describe() == (
        "test split, 19,412 users, all 11,924 items ranked, history mask exempt (last 10 actions), "
        "ties by mid-rank"
    )
    assert Measurement(protocol, {"recall@10": 0.5}).record() == {
        "protocol": {
            "split": "test",
            "queries": 19412,
            "candidates": 11924,
            "mask": "exempt",
            "window": 10,
            "ties": "mid-rank",
            "targets": "all",
            "cold_items": "as trained",
            "cold_bonus": 0.0,
            "listed": None,
        },
        "metrics": {"recall@10": 0.5},
    }
    hard = Protocol(split="validation", queries=3, candidates=9, mask="hard", window=None)
    assert "history mask hard, ties" in hard.describe()
    cold = replace(hard, targets="cold", cold_items="from content")
    assert "3 users with cold targets, all 9 items ranked, cold items from content," in cold.describe()
    more = replace(cold, cold_bonus=2.0)
    assert "all 9 items ranked, cold items from content with a bonus of 2, history" in more.describe()
    assert not more.asks_the_same_as(cold)
    lists = replace(hard, listed=100)
    assert "3 users, of 9 items the lists given, truncated at 100, history mask hard" in lists.describe()
    assert lists.asks_the_same_as(hard)
    assert not lists.asks_the_same_as(cold)
