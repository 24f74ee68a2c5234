from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tssr.evaluation.recommending import recommend
from tssr.evaluation.scoring import DenseScorer, VectorScorer


def brute_force(scores, histories, k, mask, without, skipped):
    lists = np.zeros((len(histories), k), int)
    found = np.full((len(histories), k), np.nan)
    for q, history in enumerate(histories):
        hidden = {*without, skipped[q], *(history if mask == "hard" else ())}
        items = [item for item in range(1, scores.shape[1] + 1) if item not in hidden]
        best = sorted(items, key=lambda item: (-scores[q, item - 1], item))[:k]
        lists[q, : len(best)] = best
        found[q, : len(best)] = [scores[q, item - 1] for item in best]
    return lists, found


@given(
    st.integers(1, 60),
    st.integers(1, 8),
    st.integers(0, 2**32),
    st.sampled_from(["none", "hard"]),
    st.sampled_from(["faiss", "torch", "dense"]),
    st.sampled_from(["ties", "copies"]),
    st.sampled_from([2, 512]),
)
@settings(max_examples=150, deadline=None)
def test_lists_equal_a_full_sort(ask, item_count, k, seed, mask, backend, kind, block):
    rng = np.random.default_rng(seed)
    histories = [rng.integers(1, item_count + 1, rng.integers(0, 20)).tolist() for _ in range(5)]
    if kind == "ties":
        states, vectors = rng.integers(-1, 2, (5, 3)), rng.integers(-1, 2, (item_count, 3))
    else:
        states = rng.standard_normal((5, 17))
        vectors = rng.standard_normal((item_count, 17))[rng.integers(0, item_count, item_count)]
    states, vectors = states.astype(np.float32), vectors.astype(np.float32)
    scores = (states[:, None].astype(np.float64) * vectors[None]).sum(axis=2)
    skipped = rng.integers(0, item_count + 1, 5) * rng.integers(0, 2)  # often nothing is

    def skip(lo, hi):
        return skipped[lo:hi]

    if backend == "dense":
        scorer, backend = DenseScorer(lambda lo, hi: scores[lo:hi], skip), "auto"
    else:
        scorer = VectorScorer(lambda lo, hi: states[lo:hi], vectors, np.zeros(item_count, np.float32), skip)
    queries = ask(histories, [1] * 5, item_count)
    without = rng.choice(item_count, rng.integers(0, item_count), replace=False) + 1
    with patch("tssr.evaluation.recommending.BLOCK", block):
        lists = recommend(queries.histories, scorer, k, mask, without=without, backend=backend)
    items, found = brute_force(scores, histories, k, mask, without, skipped)
    np.testing.assert_array_equal(lists.items, items)
    np.testing.assert_allclose(lists.scores, found, rtol=1e-12)


@pytest.mark.parametrize("backend", ["faiss", "torch"])
def test_equal_items_come_in_the_order_of_their_numbers(ask, backend):
    vectors = np.ones((500, 6), np.float32)
    vectors[400:] *= 2
    scorer = VectorScorer(lambda lo, hi: vectors[lo:hi], vectors, np.zeros(500, np.float32))
    histories = ask([[], [401, 403, 403]], [1, 1], 500).histories
    assert recommend(histories, scorer, 3, "none", backend=backend).items.tolist() == [[401, 402, 403]] * 2
    lists = recommend(histories, scorer, 3, "hard", backend=backend)
    assert lists.items.tolist() == [[401, 402, 403], [402, 404, 405]]


def test_a_history_of_everything_leaves_nothing(ask):
    vectors = np.eye(3, dtype=np.float32)
    scorer = VectorScorer(lambda lo, hi: vectors[lo:hi], vectors, np.zeros(3, np.float32))
    histories = ask([[1, 2, 3], [3, 3, 2]], [1, 1], 3).histories
    assert recommend(histories, scorer, 2, "hard").items.tolist() == [[0, 0], [1, 0]]
    assert recommend(histories, scorer, 5, "none").items.tolist() == [[1, 2, 3, 0, 0], [2, 1, 3, 0, 0]]
