"""Metrics for groups of users (slices), which show for which users a model is good.

The slicing `tied` is one example. Amazon's times are whole days: on Toys, half of the users took their last
two items on the same day, and within a day the order is by product number. So their target is not really the
next item, and the slice shows them separately.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.dataset import Float64, Int64, Queries
from ..core.popularity import POPULARITY_LABELS, popularity_groups
from .metrics import RankCounts
from .settings import By

HISTORY_LABELS = ("1-4", "5-9", "10-19", "20-49", "50+")
_HISTORY_STARTS = (5, 10, 20, 50)

TITLES: dict[By, str] = {
    "popularity": "By how often the target was taken in training",
    "history": "By the number of actions before the target",
    "repeat": "By whether the user had taken the target before",
    "tied": "By whether the target has the same time as the action before it",
}


@dataclass(frozen=True)
class Slicing:
    """One way to divide Q queries: the labels of the slices, and each query's slice by number, (Q,)."""

    labels: tuple[str, ...]
    place: Int64

    def measure(self, ranks: Float64, depth: int, topk: tuple[int, ...]) -> list[dict[str, Any]]:
        """For each slice that has users: its label, how many `queries` it has, and their metrics.

        Of the two repeat targets here, one has rank 2 and the other is a miss:

        >>> slicing = Slicing(("new", "repeat"), np.array([0, 1, 1]))
        >>> repeats = slicing.measure(np.array([1, 2, np.nan]), 10, (10,))[1]
        >>> repeats["queries"], repeats["metrics"]["mrr@10"]
        (2, 0.25)
        """
        found = []
        for index, label in enumerate(self.labels):
            counts = RankCounts.of(ranks[self.place == index], depth)
            if counts.queries:
                found.append({"slice": label, "queries": counts.queries, "metrics": counts.metrics(topk)})
        return found


def slice_queries(queries: Queries, train_counts: Int64, times: Int64) -> dict[By, Slicing]:
    """Every slicing of the queries.

    `train_counts` are train actions by item number, (N + 1,). `times` has the time of every action in the
    flat array of the histories.
    """
    ends, lengths = queries.histories.ends, queries.histories.lengths
    same_time = times[ends] == times[ends - 1]  # the target follows its history in the flat array
    return {
        "popularity": Slicing(POPULARITY_LABELS, popularity_groups(train_counts[queries.targets])),
        "history": Slicing(HISTORY_LABELS, np.searchsorted(_HISTORY_STARTS, lengths, side="right")),
        "repeat": Slicing(("new target", "repeat target"), _repeats(queries)),
        "tied": Slicing(("not tied", "tied"), same_time.astype(np.int64)),
    }


def _repeats(queries: Queries) -> Int64:
    """1 for a query whose target is in its history, else 0."""
    histories = queries.histories
    rows = np.repeat(np.arange(len(queries)), histories.lengths)
    # Each action of a history beside its query's target; a query with one or more matches is a repeat.
    again = histories.flat() == queries.targets[rows]
    return np.minimum(np.bincount(rows, again, len(queries)), 1).astype(np.int64)


def slices_of(record: Mapping[str, Any], by: By, mask: str) -> list[dict[str, Any]]:
    """What the `record` in metrics.json holds of one slicing under one mask, a dictionary a slice."""
    return [entry for entry in record["slices"][by] if entry["mask"] == mask]
