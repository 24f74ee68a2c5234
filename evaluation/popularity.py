"""Where a model is good: its metrics by how often the target was taken in training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.dataset import Int64
from .metrics import RankCounts
from .ranking import Ranks
from .settings import Mask


@dataclass(frozen=True)
class PopularityGroups:
    """Items apart by their train actions: new (none), and thirds of the others: rare, middle, frequent.

    `group` is each item's group, (N + 1,), by item number; `titles` name the groups with their counts. Items
    of the same count stay together, so thirds are as even as that allows, and a group may be absent.
    """

    titles: list[str]
    group: Int64

    @classmethod
    def of(cls, train_counts: Int64) -> PopularityGroups:
        """Make the groups from train actions by item number, (N + 1,); entry 0 is padding.

        >>> PopularityGroups.of(np.array([0, 1, 2, 3, 9, 12, 50])).titles
        ['rare (1-2)', 'middle (3-9)', 'frequent (12-50)']
        """
        taken = np.sort(train_counts[train_counts > 0])
        bounds = [taken[-(-len(taken) * third // 3) - 1] for third in (1, 2)]
        place = np.where(train_counts == 0, 0, 1 + np.searchsorted(bounds, train_counts))
        place[0] = -1
        titles: list[str] = []
        group = np.full(len(train_counts), -1)
        for index, name in enumerate(("new", "rare", "middle", "frequent")):
            counts = train_counts[place == index]
            if len(counts):
                group[place == index] = len(titles)
                low, high = int(counts.min()), int(counts.max())
                titles.append(f"{name} ({low})" if low == high else f"{name} ({low}-{high})")
        return cls(titles, group)

    def measure(self, ranks: Ranks, mask: Mask, topk: tuple[int, ...]) -> dict[str, dict[str, float]]:
        """Metrics by the title of the targets' group, with how many `queries` it has.

        Groups that nobody was asked for are left out.
        """
        found = {}
        for index, title in enumerate(self.titles):
            asked = self.group[ranks.targets] == index
            if asked.any():
                counts = RankCounts.of(ranks.by_mask[mask][asked], ranks.depth)
                found[title] = {"queries": counts.queries, **counts.metrics(topk)}
        return found
