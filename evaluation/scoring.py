"""The scores of queries and items, and how rounding in float32 is kept from changing ranks.

A matrix product in float32 may give two items with equal vectors scores that differ in the last bits,
depending on the block, the number of threads or the library. So two scores count as different only where
they are further apart than the error bound of the product; closer pairs are scored again in float64, always
summed in the same order. Example: with a bound of .01, scores .9 and .5 are compared as they are, .505 and .5
are computed again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.blocks import rows_at_once
from ..core.dataset import Float64, Int64
from ..core.errors import ArtifactError, DivergedError
from .geometry import squared_lengths
from .search import Float32, exact_search
from .settings import Backend

Scores = NDArray[Any]  # float32 or float64
Skipped = Callable[[int, int], Int64]

_PAIR_VALUES_AT_ONCE = 1 << 16  # float64 numbers that one step of `pair_scores` holds: they fit a cache
_ROUNDING = 2.0**-24  # relative error of one operation in float32
_SMALLEST = float(np.finfo(np.float32).tiny)  # absolute error of an operation that underflows
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class VectorScorer:
    """Scores by inner product: query q gives item i the score `encode(…)[q] @ items[i - 1] + bias[i - 1]`.

    `encode(lo, hi)` returns the (B, D) vectors of queries lo…hi-1; `items` is (N, D), `bias` (N,).
    `skipped(lo, hi)`, if given, returns for each query one item that may not be recommended, (B,), or 0 for
    none; the score of that item is minus infinity.
    """

    encode: Callable[[int, int], Float32]
    items: Float32
    bias: Float32
    skipped: Skipped | None = None


@dataclass(frozen=True)
class DenseScorer:
    """Scores of all items given by the model: `scores(lo, hi)` returns those of queries lo…hi-1, (B, N).

    They are compared without an error bound, so a caller whose equal scores may differ in the last bits must
    round them first. An item with the score minus infinity is in no list, and as a target it has no rank.
    `skipped` is as in `VectorScorer`.
    """

    scores: Callable[[int, int], Scores]
    skipped: Skipped | None = None


Scorer = VectorScorer | DenseScorer


def open_index(
    scorer: Scorer, item_count: int, backend: Backend, device: str, only: Int64 | None = None
) -> VectorIndex | DenseIndex:
    """Prepare a scorer for search, block by block of queries.

    With `only`, (K,) item numbers, the index holds these items alone, numbered 1…K in this order. Raises
    ArtifactError where the scorer has another number of items, DivergedError for NaN or infinite vectors.
    """
    skipped = scorer.skipped
    if skipped is not None and only is not None:
        skipped = _renumbered(skipped, only, item_count)
    if isinstance(scorer, DenseScorer):
        whole = scorer.scores
        scores = whole if only is None else lambda lo, hi: whole(lo, hi)[:, only - 1]
        return DenseIndex(DenseScorer(scores, skipped))
    if len(scorer.items) != item_count:
        raise ArtifactError(
            f"the model scores {len(scorer.items)} items, the data set has {item_count}; train it again"
        )
    if only is not None:
        scorer = VectorScorer(scorer.encode, scorer.items[only - 1], scorer.bias[only - 1], skipped)
    return VectorIndex(scorer, backend, device)


def block_size(scorer: Scorer, item_count: int, most: int) -> int:
    """How many of `most` queries are asked at once: fewer where a scorer gives the scores of many items."""
    return rows_at_once(item_count, most) if isinstance(scorer, DenseScorer) else most


def _renumbered(skipped: Skipped, only: Int64, item_count: int) -> Skipped:
    """The skipped items by their places 1…K in `only`; 0 for one that is not there."""
    place_of = np.zeros(item_count + 1, np.int64)
    place_of[only] = np.arange(1, len(only) + 1)
    return lambda lo, hi: place_of[skipped(lo, hi)]


def _refuse_not_finite(largest: Float64, below: float, lo: int) -> None:
    """Raise DivergedError where one of the B `largest` values of queries from `lo` on is not `below`."""
    # Written with `~`, because each comparison with NaN is False.
    bad = np.flatnonzero(~(largest < below))
    if len(bad):
        raise DivergedError(
            f"scores are NaN or infinite for query {lo + int(bad[0])} and {len(bad) - 1} more "
            "of its block; the training diverged: lower --learning-rate and train again"
        )


class VectorIndex:
    """All item vectors, ready to be searched. The bias is one more dimension, for which queries hold a 1."""

    def __init__(self, scorer: VectorScorer, backend: Backend, device: str) -> None:
        self._encode = scorer.encode
        self._skipped = scorer.skipped or _none_skipped
        self.vectors: Float32 = np.concatenate([scorer.items, scorer.bias[:, None]], axis=1, dtype=np.float32)
        self.largest_norm = float(np.sqrt(squared_lengths(self.vectors).max()))
        if not self.largest_norm < _LARGEST:
            raise DivergedError(
                "the model's item vectors are NaN or infinite; the training diverged: "
                "lower --learning-rate and train again"
            )
        self.search = exact_search(self.vectors, backend, device)

    def block(self, lo: int, hi: int) -> VectorBlock:
        """Encode queries lo…hi-1; raises DivergedError where a score could be NaN or infinite."""
        return VectorBlock(self, self._encode(lo, hi), self._skipped(lo, hi), lo)


def _none_skipped(lo: int, hi: int) -> Int64:
    return np.zeros(hi - lo, np.int64)


class VectorBlock:
    """A block of B encoded queries and all N items; item `skipped` of each, (B,), is left out, 0 for none."""

    def __init__(self, index: VectorIndex, queries: Float32, skipped: Int64, lo: int) -> None:
        ones = np.ones((len(queries), 1), dtype=np.float32)
        self._index = index
        self._skipped = skipped
        self._queries = np.concatenate([queries, ones], axis=1, dtype=np.float32)
        # |q| · |v| bounds a score, and also the sum of its products' absolute values
        # (Cauchy-Schwarz), for whichever item.
        largest = np.sqrt(squared_lengths(self._queries)) * index.largest_norm
        _refuse_not_finite(largest, _LARGEST, lo)
        # The error of a sum of D products, in any order, is at most D times the rounding error of one
        # operation times the sum of the products' absolute values (Higham, Accuracy and Stability of
        # Numerical Algorithms, section 3.1). Three more cover the rounding of this bound itself.
        roundings = self._queries.shape[1] + 3
        self.tolerance: Float64 = roundings * (_ROUNDING * largest + _SMALLEST)

    def best(self, k: int) -> tuple[Scores, Int64]:
        """The k best items of each query: their float32 scores and numbers, (B, k) each, the best first."""
        if not self._skipped.any():
            return self._index.search(self._queries, k)
        scores, items = self._index.search(self._queries, min(k + 1, len(self._index.vectors)))
        # One item more than asked for is searched, because the skipped item may be among the best.
        scores = np.where(items == self._skipped[:, None], -np.inf, scores)
        # The skipped item moves to the end and is cut off; the others keep their order.
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(items, order, axis=1)

    def whole(self, rows: Int64) -> Scores:
        """The float32 scores of all items for some queries, (R, N)."""
        scores: Float32 = self._queries[rows] @ self._index.vectors.T
        _skip(scores, self._skipped[rows])
        return scores

    def pair_scores(self, rows: Int64, items: Int64) -> Float64:
        """The float64 scores of single pairs, (P,): the same pair gives the same bits wherever it stands."""
        scores = np.empty(len(rows), dtype=np.float64)
        step = max(1, _PAIR_VALUES_AT_ONCE // self._queries.shape[1])
        for first in range(0, len(rows), step):
            part = slice(first, first + step)
            products = self._queries[rows[part]].astype(np.float64)
            # One row a pair, so each sum runs over D + 1 numbers in the same order; a matrix
            # product may add them in any.
            products *= self._index.vectors[items[part] - 1]
            scores[part] = products.sum(axis=1)
        scores[items == self._skipped[rows]] = -np.inf
        return scores


def _skip(scores: Scores, skipped: Int64) -> None:
    """Set the score of each row's skipped item to minus infinity: scores (R, N), skipped (R,), 0 for none."""
    rows = np.flatnonzero(skipped)
    scores[rows, skipped[rows] - 1] = -np.inf


class DenseIndex:
    """The dense counterpart of `VectorIndex`."""

    def __init__(self, scorer: DenseScorer) -> None:
        self._scores = scorer.scores
        self._skipped = scorer.skipped

    def block(self, lo: int, hi: int) -> DenseBlock:
        """Ask for the scores of queries lo…hi-1; raises DivergedError where one is NaN or plus infinity."""
        scores = self._scores(lo, hi)
        # The greatest score of a row with NaN is NaN; minus infinity says that an item is in no list.
        _refuse_not_finite(scores.max(axis=1), np.inf, lo)
        if self._skipped is not None:
            scores = scores.copy()  # so that the caller's array is not changed
            _skip(scores, self._skipped(lo, hi))
        return DenseBlock(scores)


class DenseBlock:
    """A block of B rows of scores that were computed outside; nothing is searched or rounded."""

    def __init__(self, scores: Scores) -> None:
        self._scores = scores
        self.tolerance: Float64 = np.zeros(len(scores))

    def best(self, k: int) -> tuple[Scores, Int64]:
        """The k best items of each query: their scores and numbers, (B, k) each, the best first."""
        import torch

        top = torch.from_numpy(np.ascontiguousarray(self._scores)).topk(k)
        return top.values.numpy(), top.indices.numpy() + 1

    def whole(self, rows: Int64) -> Scores:
        """The scores of all items for some queries, (R, N)."""
        return self._scores[rows]

    def pair_scores(self, rows: Int64, items: Int64) -> Float64:
        """The scores of single pairs, (P,)."""
        return self._scores[rows, items - 1].astype(np.float64)


Index = VectorIndex | DenseIndex
ScoreBlock = VectorBlock | DenseBlock
