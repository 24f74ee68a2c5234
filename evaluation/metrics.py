"""Recall, NDCG and MRR at k, and the protocol without which such a number means nothing.

With one target a query, Recall@k is also called hit rate, and NDCG's ideal is 1. A target is a hit at k where
fewer than k items stand before it, each item that ties with it counting half: where rank < k + 1. NaN ranks,
beyond the depth or masked, are misses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ..core.dataset import Int64
from ..core.errors import ArtifactError
from .scoring import Float64
from .settings import Mask

Targets = Literal["all", "warm", "cold"]


def recall_at(ranks: Float64, k: int) -> Float64:
    """1 for a hit, else 0.

    >>> recall_at(np.array([1, 10.5, 11, np.nan]), 10).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    return np.where(ranks < k + 1, 1.0, 0.0)


def ndcg_at(ranks: Float64, k: int) -> Float64:
    """1 / log2(rank + 1) for a hit, else 0.

    >>> ndcg_at(np.array([1, 3, 7, 11]), 10).round(4).tolist()
    [1.0, 0.5, 0.3333, 0.0]
    """
    return np.where(ranks < k + 1, 1 / np.log2(ranks + 1), 0.0)


def mrr_at(ranks: Float64, k: int) -> Float64:
    """1 / rank for a hit, else 0.

    >>> mrr_at(np.array([1, 2.5, 4, 11]), 10).tolist()
    [1.0, 0.4, 0.25, 0.0]
    """
    return np.where(ranks < k + 1, 1 / ranks, 0.0)


METRICS = {"recall": recall_at, "ndcg": ndcg_at, "mrr": mrr_at}
_TITLES = {"recall": "Recall", "ndcg": "NDCG", "mrr": "MRR"}


def metric_title(name: str) -> str:
    """A metric's name as tables show it.

    >>> metric_title("ndcg@10")
    'NDCG@10'
    """
    metric, at, k = name.partition("@")
    return _TITLES[metric] + at + k


@dataclass(frozen=True)
class RankCounts:
    """How many queries were asked, and how many got rank 1, 1½, 2, …, depth + ½.

    These integers are all that processes exchange: added in any order they give the same metrics to the bit,
    where means, or sums of fractions, would not.
    """

    queries: int
    counts: Int64  # counts[h - 2] queries have rank h / 2

    @classmethod
    def of(cls, ranks: Float64, depth: int) -> RankCounts:
        """Count the ranks of one shard.

        >>> RankCounts.of(np.array([1, 1, 2.5, np.nan]), depth=3)
        RankCounts(queries=4, counts=array([2, 0, 0, 1, 0, 0]))
        """
        halves = (2 * ranks[~np.isnan(ranks)]).astype(np.int64)
        return cls(len(ranks), np.bincount(halves - 2, minlength=2 * depth))

    def __add__(self, other: RankCounts) -> RankCounts:
        """Join two shards."""
        return RankCounts(self.queries + other.queries, self.counts + other.counts)

    def metrics(self, topk: tuple[int, ...]) -> dict[str, float]:
        """Means over all queries, by name: recall@10, ndcg@10, mrr@10, …; k may not exceed the depth.

        >>> RankCounts.of(np.array([1, 3, 11, np.nan]), depth=20).metrics((10,))
        {'recall@10': 0.5, 'ndcg@10': 0.375, 'mrr@10': 0.3333333333333333}
        """
        ranks = np.arange(2, len(self.counts) + 2) / 2
        return {
            f"{name}@{k}": float(np.sum(self.counts * gain(ranks, k)) / self.queries)
            for k in topk
            for name, gain in METRICS.items()
        }


@dataclass(frozen=True)
class Protocol:
    """What was asked: the conditions under which two numbers may be compared."""

    split: str
    queries: int
    candidates: int
    mask: Mask
    window: int | None  # L of the mask `exempt`; None for the others
    ties: str = "mid-rank"
    targets: Targets = "all"  # which queries: by whether the target has a train action
    cold_items: Literal["as trained", "from content"] = "as trained"

    def describe(self, *, mask: bool = True) -> str:
        """The protocol in one line, to stand beside the numbers; `mask` is False where masks stand there."""
        window = f" (last {self.window} actions)" if self.window is not None else ""
        which = f" with {self.targets} targets" if self.targets != "all" else ""
        cold = f", cold items {self.cold_items}" if self.cold_items != "as trained" else ""
        masked = f"history mask {self.mask}{window}, " if mask else ""
        return (
            f"{self.split} split, {self.queries:,} users{which}, all {self.candidates:,} items ranked{cold}, "
            f"{masked}ties by {self.ties}"
        )


@dataclass(frozen=True)
class Measurement:
    """Metrics by name, and the protocol they were measured under."""

    protocol: Protocol
    metrics: dict[str, float]

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"protocol": asdict(self.protocol), "metrics": self.metrics}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Measurement:
        """Read what `record` wrote; raises ArtifactError where it was not written by this version."""
        try:
            return cls(Protocol(**record["protocol"]), dict(record["metrics"]))
        except (KeyError, TypeError):
            raise ArtifactError(
                "metrics of another version of tssr; measure again with: tssr evaluate --force"
            ) from None
