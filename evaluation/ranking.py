"""Exact full ranking: the rank of each user's target among all items.

A rank is 1 + the number of items with a greater score + half the number of other items with an equal score
(mid-rank). Example: the target has score .5, one item has .9 and two others also have .5; its rank is
1 + 1 + 2/2 = 3, the mean of the ranks 2, 3 and 4 that the three tied items share.

Each block of queries is searched once for its best items, and the ranks under all masks are counted in that
one list. The scores of all items are computed only where the list is not enough: the target ties with the end
of the list, or a mask hides so much of it that it becomes too short.

Ranks are exact where fewer than `depth` items stand before the target, and NaN beyond, however long the list
of the search was. A target with the score minus infinity, which is in no list, has the rank NaN too. Ranks do
not depend on the size of a block, on threads or on processes: `scoring` says how rounding is kept out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..core.dataset import Float64, Int32, Int64, Queries
from ..core.float32 import full_float32
from .listing import OrderedBlock
from .masks import SeenItems, reach
from .scoring import Index, ScoreBlock, Scorer, Scores, block_size, open_index
from .settings import DEPTH, Backend, Mask

BLOCK = 512  # queries ranked together; a shard starts at a multiple, so any number of processes has the same
_WHOLE_SCORES_AT_ONCE = 1 << 22  # scores of all items for some queries, held in one step


@dataclass(frozen=True)
class RankingOptions:
    """How to rank: under which masks, how deep, and what searches.

    `window` is L, the number of actions that a model reads; only the mask `exempt` needs it. With `lists`
    above 0, that many best items of each query are returned too. `device` is a device as torch names it; the
    search runs on it, the rest on the CPU.
    """

    masks: tuple[Mask, ...] = ("none",)
    window: int = 1
    depth: int = DEPTH
    backend: Backend = "auto"
    device: str = "cpu"
    lists: int = 0


@dataclass(frozen=True)
class Ranks:
    """The rank of each of Q targets under each mask, (Q,); NaN beyond `depth` and where the mask hides it.

    `lists` has, where they were asked for, the best items of each query under each mask, (Q, K), the best
    first; equal scores stand in the order of item numbers, and 0 fills up.
    """

    users: Int32
    targets: Int32
    by_mask: dict[Mask, Float64]
    depth: int
    lists: dict[Mask, Int32] = field(default_factory=dict)


def shard_range(query_count: int, shard: int, shards: int) -> tuple[int, int]:
    """The queries lo…hi-1 that process `shard` of `shards` ranks: whole blocks, spread evenly."""
    blocks = -(-query_count // BLOCK)
    # Example: 5 blocks for 2 processes are blocks 0 and 1 for the first, 2 to 4 for the second.
    lo, hi = (min(query_count, blocks * part // shards * BLOCK) for part in (shard, shard + 1))
    return lo, hi


@full_float32()
def rank_targets(
    queries: Queries,
    scorer: Scorer,
    options: RankingOptions,
    *,
    bounds: tuple[int, int] | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> Ranks:
    """Rank the targets of `queries`, or of those within `bounds` (from `shard_range`).

    `advance` is called with the number of queries that each step has ranked. Raises DataError where a score
    is NaN or plus infinity, ArtifactError where the scorer has another number of items than the data set.
    """
    lo, hi = bounds if bounds is not None else (0, len(queries))
    index = open_index(scorer, queries.histories.item_count, options.backend, options.device)
    ranks: dict[Mask, Float64] = {mask: np.empty(hi - lo) for mask in options.masks}
    listed = options.masks if options.lists else ()
    lists: dict[Mask, Int32] = {mask: np.empty((hi - lo, options.lists), np.int32) for mask in listed}
    size = block_size(scorer, queries.histories.item_count, BLOCK)
    for first in range(lo, hi, size):
        last = min(first + size, hi)
        part = slice(first - lo, last - lo)
        for mask, (found, best) in _rank_block(queries, index, options, first, last).items():
            ranks[mask][part] = found
            if best is not None:
                lists[mask][part] = best
        advance(last - first)
    return Ranks(queries.users[lo:hi], queries.targets[lo:hi], ranks, options.depth, lists)


def _rank_block(
    queries: Queries, index: Index, options: RankingOptions, lo: int, hi: int
) -> dict[Mask, tuple[Float64, Int32 | None]]:
    """The ranks of queries lo…hi-1 under each mask, (B,), and their lists, (B, K), where those are wanted."""
    item_count, targets = queries.histories.item_count, queries.targets[lo:hi].astype(np.int64)
    block = index.block(lo, hi)
    # Every item of the histories that some mask may hide is scored once. What a mask hides is then subtracted
    # from the count over all items: (B,) for each mask.
    count = _Ahead(block, targets)
    seen = SeenItems.of(queries.histories, lo, hi, reach(options.masks, options.window))
    seen_weights = count.weights(seen.rows, seen.items)
    hides = {mask: seen.hidden_by(mask, targets, options.window) for mask in options.masks}
    hidden = {mask: _sum_rows(seen.rows, seen_weights * hide, hi - lo) for mask, hide in hides.items()}

    # The list must show `depth` items although a mask may hide some of it. At most `depth` more are searched:
    # longer histories are few, and `among_all` settles them.
    longest = max(int(np.bincount(seen.rows[hide], minlength=1).max()) for hide in hides.values())
    k = min(item_count, options.depth + min(longest, options.depth))
    scores, items = block.best(k)
    # (B,): the items before the target among those of the list, under no mask.
    ahead = count.among_listed(np.arange(hi - lo), scores, items)
    if k < item_count:
        # Items beyond the list's end may stand before the target too, so this count is a lower bound.
        least = 1 + ahead - np.max(list(hidden.values()), axis=0)
        # Such items can only be there where the list's last score is not certainly below the target's. And
        # they matter only where the rank under some mask is still within the depth.
        unsettled = np.flatnonzero((scores[:, -1] >= count.low) & (least < options.depth + 1))
        ahead[unsettled] = count.among_all(unsettled, item_count)

    ordered = OrderedBlock.of(block, scores, items, item_count) if options.lists else None
    found = {}
    for mask, hide in hides.items():
        rank = 1 + ahead - hidden[mask]
        # A target that the scorer leaves out of all lists has no rank, nor has one that the mask hides.
        rank[count.unlisted] = np.nan
        rank[seen.rows[hide & (seen.items == targets[seen.rows])]] = np.nan
        lists = None if ordered is None else ordered.lists(options.lists, seen.only(hide))
        found[mask] = np.where(rank < options.depth + 1, rank, np.nan), lists
    return found


def _sum_rows(rows: Int64, weights: Float64, count: int) -> Float64:
    return np.bincount(rows, weights, count).astype(np.float64)  # of nothing, it gives integers


class _Ahead:
    """Counts the items before the target of each query: 1 for a greater score, ½ for an equal one."""

    def __init__(self, block: ScoreBlock, targets: Int64) -> None:
        self._block = block
        self._targets = targets
        self._goal = block.pair_scores(np.arange(len(targets)), targets)
        # A float32 score below `low` or above `high` is certainly less or greater than the target's; scores
        # in between are compared again in float64.
        self.unlisted = self._goal == -np.inf
        self.low = self._goal - block.tolerance
        self._high = self._goal + block.tolerance

    def weights(self, rows: Int64, items: Int64) -> Float64:
        """What each pair of (row, item) counts, 1, ½ or 0, (P,); the target itself counts 0."""
        scores, goal = self._block.pair_scores(rows, items), self._goal[rows]
        weights: Float64 = ((scores > goal) + 0.5 * (scores == goal)) * (items != self._targets[rows])
        return weights

    def among_listed(self, rows: Int64, scores: Scores, items: Int64) -> Float64:
        """Count over a list of items with their block scores for each of some queries, (R, K) -> (R,)."""
        # Most scores are far from the target's and are settled by these two comparisons, (R, K).
        low = self.low[rows].astype(scores.dtype)[:, None]
        high = self._high[rows].astype(scores.dtype)[:, None]
        greater = scores > high
        near_rows, near_columns = np.nonzero((scores >= low) & ~greater)
        near = self.weights(rows[near_rows], items[near_rows, near_columns])
        counts: Float64 = np.count_nonzero(greater, axis=1) + _sum_rows(near_rows, near, len(rows))
        return counts

    def among_all(self, rows: Int64, item_count: int) -> Float64:
        """Count over all items for some queries, (R,)."""
        counts = np.empty(len(rows))
        step = max(1, _WHOLE_SCORES_AT_ONCE // item_count)
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            items = np.broadcast_to(np.arange(1, item_count + 1), (len(part), item_count))
            counts[first : first + step] = self.among_listed(part, self._block.whole(part), items)
        return counts
