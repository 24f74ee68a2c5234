import sys

import numpy as np
import pytest
import torch

from tssr.core.errors import UsageError
from tssr.evaluation.search import exact_search

VECTORS = np.arange(12, dtype=np.float32).reshape(6, 2)
QUERIES = np.array([[1, 0], [0, -1], [0.5, 0.25]], np.float32)


@pytest.mark.parametrize("backend", ["faiss", "torch", "auto"])
def test_the_best_come_first_and_items_start_at_one(backend):
    scores, items = exact_search(VECTORS, backend)(QUERIES, 3)
    assert items.tolist() == [[6, 5, 4], [1, 2, 3], [6, 5, 4]]
    assert scores.tolist() == [[10, 8, 6], [-1, -3, -5], [7.75, 6.25, 4.75]]


def test_a_long_score_matrix_is_made_in_parts(monkeypatch):
    whole = exact_search(VECTORS, "torch")(QUERIES, 2)
    monkeypatch.setattr("tssr.evaluation.search.SCORES_AT_ONCE", 7)
    parts = exact_search(VECTORS, "torch")(QUERIES, 2)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_faiss_torch_searches(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    _, items = exact_search(VECTORS, "auto")(QUERIES, 1)
    assert items.tolist() == [[6], [1], [6]]
    with pytest.raises(UsageError, match=r"--backend faiss: FAISS is not installed; .*--backend torch"):
        exact_search(VECTORS, "faiss")


@pytest.mark.gpu
def test_a_gpu_finds_the_same(monkeypatch):
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    rng = np.random.default_rng(5)
    vectors, queries = (rng.integers(-9, 9, (count, 33)).astype(np.float32) for count in (5000, 700))
    _, expected = exact_search(vectors, "faiss")(queries, 1)
    scores, items = exact_search(vectors, "auto", "cuda")(queries, 50)
    np.testing.assert_array_equal(scores, -np.sort(-(queries @ vectors.T), axis=1)[:, :50])
    assert (scores[:, 0] == (queries * vectors[expected[:, 0] - 1]).sum(axis=1)).all()
    assert items.min() >= 1
