import importlib.util
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from tssr.core.dataset import Histories
from tssr.evaluation.list_metrics import EvaluatedLists, ItemStatistics, diversity_at
from tssr.evaluation.metrics import measure_lists

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "recorded_list_metrics.py"

# What `python benchmarks/recorded_list_metrics.py` printed beside RecTools.
RECTOOLS = {
    "coverage@1": 0.4666666666666667,
    "popularity@1": 11.6,
    "novelty@1": 3.459983946875674,
    "diversity[text]@1": 0.0,
    "serendipity@1": 0.012083333333333331,
    "coverage@5": 0.95,
    "popularity@5": 7.455,
    "novelty@5": 3.630693918439724,
    "diversity[text]@5": 0.9980352858110791,
    "serendipity@5": 0.018999999999999996,
    "coverage@10": 1.0,
    "popularity@10": 7.3125,
    "novelty@10": 3.585645867909487,
    "diversity[text]@10": 1.0037757518228851,
    "serendipity@10": 0.012874999999999998,
}


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("recorded_list_metrics", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def catalogue_of(data, users, items):
    order = np.argsort(data["users"], kind="stable")
    ends = np.cumsum(np.bincount(data["users"], minlength=users))
    starts = np.concatenate([[0], ends[:-1]])
    train = Histories(data["items"][order].astype(np.int32), starts, ends, items)
    contents = data["contents"].copy()
    contents[0] = 0
    return ItemStatistics.of(train, {"text": contents})


def test_equal_to_rectools(benchmark):
    data = benchmark.drawn()
    catalogue = catalogue_of(data, benchmark.USERS, benchmark.ITEMS)
    found = measure_lists(EvaluatedLists(data["lists"], data["targets"], catalogue), benchmark.TOPK)
    for name, value in RECTOOLS.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


def test_shares_add_up_and_follow_the_groups(benchmark):
    data = benchmark.drawn()
    catalogue = catalogue_of(data, benchmark.USERS, benchmark.ITEMS)
    found = measure_lists(EvaluatedLists(data["lists"], data["targets"], catalogue), (10,))
    counts = catalogue.counts[data["lists"]].ravel()
    assert found["share[0]@10"] == pytest.approx(np.mean(counts == 0))
    assert found["share[5-19]@10"] == pytest.approx(np.mean((counts >= 5) & (counts < 20)))
    shares = [found[f"share[{label}]@10"] for label in ("0", "1-4", "5-19", "20+")]
    assert sum(shares) == pytest.approx(1)


def test_gini_is_0_where_all_get_as_many_and_near_1_where_one_gets_all():
    ones = np.ones(101, int)
    catalogue = ItemStatistics(ones, ones, 9, {})
    even = EvaluatedLists(np.arange(1, 101).reshape(50, 2), np.ones(50, int), catalogue)
    assert measure_lists(even, (2,))["gini@2"] == 0
    one = EvaluatedLists(np.ones((50, 1), int), np.ones(50, int), catalogue)
    assert measure_lists(one, (1,))["gini@1"] == pytest.approx(99 / 100)
    differences = [abs(a - b) for a in (0, 0, 2, 5) for b in (0, 0, 2, 5)]  # its other definition
    uneven = EvaluatedLists(
        np.array([[1, 2]] * 2 + [[2, 0]] * 3), np.ones(5, int), ItemStatistics(*[np.ones(5, int)] * 2, 9, {})
    )
    assert measure_lists(uneven, (2,))["gini@2"] == pytest.approx(sum(differences) / (2 * 4 * 7))


@pytest.mark.parametrize("values_at_once", [1, 7, 1 << 18])
def test_diversity_leaves_out_items_without_content(monkeypatch, values_at_once):
    monkeypatch.setattr("tssr.evaluation.list_metrics._VALUES_AT_ONCE", values_at_once)
    draw = np.random.default_rng(2)
    vectors = draw.standard_normal((9, 4))
    vectors[[0, 3, 4]] = 0
    catalogue = ItemStatistics.of(
        Histories(np.array([1], np.int32), np.array([0]), np.array([1]), 8), {"a": vectors}
    )
    lists = np.array([[1, 2, 3], [3, 5, 4], [6, 7, 8], [0, 0, 0]])
    expected = []
    for own in lists[:3]:
        known = [item for item in own if vectors[item].any()]
        pairs = [
            1 - vectors[i] @ vectors[j] / np.linalg.norm(vectors[i]) / np.linalg.norm(vectors[j])
            for i, j in combinations(known, 2)
        ]
        expected.append(np.mean(pairs) if pairs else 0)
    found = diversity_at(EvaluatedLists(lists, np.ones(4, int), catalogue), 3)["a"]
    assert found == pytest.approx(np.mean(expected), abs=1e-9), (
        "the user without a list is no part of the mean"
    )


def test_users_without_any_list():
    catalogue = ItemStatistics(np.array([0, 1]), np.array([0, 1]), 1, {"a": np.array([[0.0], [1.0]])})
    found = measure_lists(EvaluatedLists(np.zeros((2, 3), int), np.array([1, 1]), catalogue), (3,))
    assert set(found.values()) == {0.0}
