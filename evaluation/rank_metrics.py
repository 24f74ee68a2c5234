"""Metrics of one user at a time, from the rank of the item that the user really took.

Each query has one target. So Recall@k equals the hit rate, and the ideal DCG, by which NDCG divides, is
1. A target is a hit at k where its rank is less than k + 1. A hit is all or nothing, but a rank may be a
half: where items tie with the target, its rank is the middle of the places that they share (mid-rank,
`ranking`). Example: a target that shares places 10 and 11 with one other item has rank 10.5, a whole hit
at 10; one that shares places 10 to 12 with two others has rank 11, a miss. A NaN rank, beyond the depth
or hidden by a mask, is a miss. The functions map ranks (Q,) to gains (Q,); a metric is the mean of the
gains.
"""

from __future__ import annotations

import numpy as np

from ..core.dataset import Float64


def recall_at(ranks: Float64, k: int) -> Float64:
    """1 for a hit, else 0.

    >>> recall_at(np.array([1, 10.5, 11, np.nan]), 10).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    # A comparison with NaN is False, which makes it a miss; so too in the metrics below.
    return np.where(ranks < k + 1, 1.0, 0.0)


def ndcg_at(ranks: Float64, k: int) -> Float64:
    """1 / log2(rank + 1) for a hit, else 0.

    Rank 3 gives 1 / log2(4) = 1/2, rank 7 gives 1 / log2(8) = 1/3:

    >>> ndcg_at(np.array([1, 3, 7, 11]), 10).tolist() == [1, 1 / 2, 1 / 3, 0]
    True
    """
    return np.where(ranks < k + 1, 1 / np.log2(ranks + 1), 0.0)


def mrr_at(ranks: Float64, k: int) -> Float64:
    """1 / rank for a hit, else 0.

    >>> mrr_at(np.array([1, 2.5, 4, 11]), 10).tolist() == [1, 2 / 5, 1 / 4, 0]
    True
    """
    return np.where(ranks < k + 1, 1 / ranks, 0.0)
