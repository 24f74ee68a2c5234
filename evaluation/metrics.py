"""The metrics by name, each with its title, formula and source.

A rank metric (Recall, NDCG, MRR) is the mean over users of a function of the target's rank. A list metric
(coverage, novelty) is computed from the recommended lists of all users and ignores the targets, except for
serendipity. To add a metric, write its function with a worked example in `rank_metrics` or `list_metrics`,
and add an entry here: `evaluate` then measures it, and tables show its title.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.dataset import Float64, Int64
from .list_metrics import (
    EvaluatedLists,
    coverage_at,
    diversity_at,
    gini_at,
    novelty_at,
    popularity_at,
    popularity_shares_at,
    serendipity_at,
)
from .rank_metrics import mrr_at, ndcg_at, recall_at


@dataclass(frozen=True)
class RankMetric:
    """A mean over users: `gain` maps ranks (Q,) and k to the metric's value for each user, (Q,)."""

    title: str
    formula: str
    source: str
    gain: Callable[[Float64, int], Float64]


@dataclass(frozen=True)
class ListMetric:
    """A number for all lists cut at k, or several by the name of their part, as diversity has by content."""

    title: str
    formula: str
    source: str
    measure: Callable[[EvaluatedLists, int], float | dict[str, float]]


RANK_METRICS = {
    "recall": RankMetric(
        "Recall", "[rank < k + 1]", "Sarwar et al., EC 2000; with one target also HR@k", recall_at
    ),
    "ndcg": RankMetric(
        "NDCG",
        "1 / log2(rank + 1) where rank < k + 1, else 0",
        "Järvelin and Kekäläinen, ACM TOIS 20(4), 2002",
        ndcg_at,
    ),
    "mrr": RankMetric("MRR", "1 / rank where rank < k + 1, else 0", "Voorhees, TREC-8, 1999", mrr_at),
}
LIST_METRICS = {
    "coverage": ListMetric(
        "Coverage",
        "items in at least one list / N",
        "Ge et al., RecSys 2010; as CatalogCoverage(normalize=True) of RecTools",
        coverage_at,
    ),
    "gini": ListMetric(
        "Gini",
        "sum over i of (2i - N - 1) c_i / (N * sum of c_i), c rising: in how many lists an item is",
        "Gini 1912, as in Shani and Gunawardana, Recommender Systems Handbook, 2011, and in RecBole",
        gini_at,
    ),
    "popularity": ListMetric(
        "Popularity",
        "mean over users of the mean train actions of the k items",
        "Yin et al., VLDB 2012 (ARP); as AvgRecPopularity of RecTools",
        popularity_at,
    ),
    "share": ListMetric(
        "Share",
        "places of lists that go to items with so many train actions / all places",
        "the distribution behind the mean popularity",
        popularity_shares_at,
    ),
    "novelty": ListMetric(
        "Novelty",
        "mean over users of the mean -log2(train users of the item / all train users)",
        "Zhou et al., PNAS 107(10), 2010; as MeanInvUserFreq of RecTools",
        novelty_at,
    ),
    "diversity": ListMetric(
        "Diversity",
        "mean over users of the mean of 1 - cosine over the pairs of a list",
        "Ziegler et al., WWW 2005; as IntraListDiversity of RecTools with this distance",
        diversity_at,
    ),
    "serendipity": ListMetric(
        "Serendipity",
        "mean over users of max(p(place) - p(place by popularity), 0) of the hit / length of the list, "
        "p(i) = (N + 1 - i) / N",
        "Ge et al., RecSys 2010, as Serendipity of RecTools has it",
        serendipity_at,
    ),
}


def metric_title(name: str) -> str:
    """A metric's name as tables show it.

    >>> metric_title("ndcg@10"), metric_title("diversity[text]@10")
    ('NDCG@10', 'Diversity@10 [text]')
    """
    metric, at, k = name.partition("@")
    metric, bracket, part = metric.partition("[")
    return (RANK_METRICS | LIST_METRICS)[metric].title + at + k + (f" {bracket}{part}" if part else "")


def measure_lists(recommended: EvaluatedLists, topk: Sequence[int]) -> dict[str, float]:
    """Every list metric by name, such as coverage@10, share[20+]@10 and diversity[text]@10."""
    found: dict[str, float] = {}
    for k in topk:
        for name, metric in LIST_METRICS.items():
            value = metric.measure(recommended, k)
            if isinstance(value, dict):
                found |= {f"{name}[{part}]@{k}": each for part, each in value.items()}
            else:
                found[f"{name}@{k}"] = value
    return found


@dataclass(frozen=True)
class RankCounts:
    """The number of queries, and how many of them have rank 1, 1½, 2, …, depth + ½.

    Under torchrun the processes exchange only these integers. Their sum is the same in any order, so any
    number of processes computes the same metrics to the bit; sums of fractions would differ by rounding.
    """

    queries: int
    counts: Int64  # counts[h - 2] queries have rank h / 2

    @classmethod
    def of(cls, ranks: Float64, depth: int) -> RankCounts:
        """Count the ranks of one shard.

        >>> RankCounts.of(np.array([1, 1, 2.5, np.nan]), depth=3)
        RankCounts(queries=4, counts=array([2, 0, 0, 1, 0, 0]))
        """
        # Ranks are whole or half numbers from 1 on, so twice a rank is a whole number from 2 on.
        halves = (2 * ranks[~np.isnan(ranks)]).astype(np.int64)
        return cls(len(ranks), np.bincount(halves - 2, minlength=2 * depth))

    def __add__(self, other: RankCounts) -> RankCounts:
        """Join two shards."""
        return RankCounts(self.queries + other.queries, self.counts + other.counts)

    def metrics(self, topk: Sequence[int]) -> dict[str, float]:
        """Means over all queries, by name: recall@10, ndcg@10, mrr@10, …; k may not exceed the depth.

        >>> RankCounts.of(np.array([1, 3, 11, np.nan]), depth=20).metrics((10,))
        {'recall@10': 0.5, 'ndcg@10': 0.375, 'mrr@10': 0.3333333333333333}
        """
        # 1, 1½, 2, …: the rank of each counter. A metric is computed once for each and
        # counted as often as it occurs.
        ranks = np.arange(2, len(self.counts) + 2) / 2
        return {
            f"{name}@{k}": float(np.sum(self.counts * metric.gain(ranks, k)) / self.queries)
            for k in topk
            for name, metric in RANK_METRICS.items()
        }
