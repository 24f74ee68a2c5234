"""Ranks of targets in lists that another system made: what is not in a list is a miss.

Shapes: Q queries, K places of the longest list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.dataset import Float64, Int32, Queries
from ..core.schema import PADDING
from .masks import SeenItems, reach
from .ranking import BLOCK, RankingOptions, Ranks
from .settings import Mask


@dataclass(frozen=True)
class ExternalLists:
    """Items and their scores, (Q, K) each, the greatest score first; 0 and -inf fill up shorter lists."""

    items: Int32
    scores: Float64


def rank_in_lists(queries: Queries, lists: ExternalLists, options: RankingOptions) -> Ranks:
    """Rank the target of each query in its list, under each mask of the options.

    A mask takes items out of the list, and the items behind them move up. Equal scores give mid-ranks, as
    in `rank_targets`: with scores .9, .5, .5 the targets in places 2 and 3 both have rank 2.5.
    """
    ranks: dict[Mask, Float64] = {mask: np.empty(len(queries)) for mask in options.masks}
    best: dict[Mask, Int32] = {
        mask: np.zeros((len(queries), options.lists), np.int32) for mask in options.masks
    }
    for lo in range(0, len(queries), BLOCK):
        part = slice(lo, min(lo + BLOCK, len(queries)))
        targets = queries.targets[part].astype(np.int64)
        items, scores = lists.items[part].astype(np.int64), lists.scores[part]
        seen = SeenItems.of(queries.histories, part.start, part.stop, reach(options.masks, options.window))
        for mask in options.masks:
            hidden = seen.only(seen.hidden_by(mask, targets, options.window))
            shown = (items != PADDING) & ~hidden.holds(items)  # (B, K)
            is_target = shown & (items == targets[:, None])
            # (B,): the target's score, -inf where it is not in the list; its rank is NaN then.
            goal = np.where(is_target, scores, -np.inf).max(axis=1, initial=-np.inf)
            ahead = np.count_nonzero(shown & (scores > goal[:, None]), axis=1)
            level = np.count_nonzero(shown & ~is_target & (scores == goal[:, None]), axis=1)
            rank = np.where(is_target.any(axis=1), 1 + ahead + 0.5 * level, np.nan)
            ranks[mask][part] = np.where(rank < options.depth + 1, rank, np.nan)
            # Shown items first, in their order: False sorts before True, and the sort is stable.
            first = np.argsort(~shown, axis=1, kind="stable")[:, : options.lists]
            kept = np.take_along_axis(np.where(shown, items, PADDING), first, axis=1)
            best[mask][part, : kept.shape[1]] = kept
    return Ranks(queries.users, queries.targets, ranks, options.depth, best)
