"""The best items of a block of queries in their exact order, from one search.

A search gives the items of each query with float32 scores, the best first. Where two neighbours are closer
than rounding may err, their float64 scores decide, and item numbers where those are equal: so lists, like
ranks, do not depend on threads or on what searches. Example: with an error bound of .01 and scores .9, .505,
.5, .1, only the second and the third are scored again.

Shapes: B queries, W items that the search gave each, k places of a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.dataset import Int32, Int64
from ..core.schema import PADDING
from .masks import SeenItems
from .scoring import ScoreBlock, Scores

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class OrderedBlock:
    """The items that a search gave for a block of queries, (B, W), in exact order.

    `certain` is, for each query, the number of leading places that no item outside the search could take.
    `scored` is False for an item that the model skips: its score is -inf, and it belongs in no list.
    """

    block: ScoreBlock
    items: Int64
    scored: Flags
    certain: Int64
    item_count: int

    @classmethod
    def of(cls, block: ScoreBlock, scores: Scores, items: Int64, item_count: int) -> OrderedBlock:
        """Put what `block.best` gave into exact order."""
        scored = scores > -np.inf
        known = np.where(scored, scores, np.finfo(np.float64).min)  # a difference of two -inf would be NaN
        # (B, W - 1): neighbours whose scores differ by more than both of them may be wrong.
        apart = known[:, :-1] - known[:, 1:] > 2 * block.tolerance[:, None]
        items = _reordered(block, items, apart)
        width = items.shape[1]
        if width == item_count:
            certain = np.full(len(items), width)
        else:
            # All that stands before the last clear gap is greater than whatever the search left out.
            # Example: five items with gaps yes no yes no. The last gap is behind the third,
            # so three places are certain.
            certain = (apart * np.arange(1, width)).max(axis=1, initial=0)
        # Where the search has reached items that the model skips, it has given all others.
        certain[~scored[:, -1]] = item_count
        return cls(block, items, scored, certain, item_count)

    def lists(self, k: int, hidden: SeenItems) -> Int32:
        """The k best items of each query that are not `hidden` from it, (B, k); 0 fills up."""
        shown = self.scored & ~hidden.holds(self.items)  # (B, W)
        first = np.argsort(~shown, axis=1, kind="stable")[:, :k]  # the columns of the first items shown
        found = np.take_along_axis(self.items, first, axis=1)
        lists = np.full((len(self.items), k), PADDING, dtype=np.int32)
        lists[:, : first.shape[1]] = np.where(np.take_along_axis(shown, first, axis=1), found, PADDING)
        known = np.arange(self.items.shape[1]) < self.certain[:, None]
        enough = np.count_nonzero(shown & known, axis=1) >= k
        # A mask hid so much, or so many scores tie at the end, that the search was too short for this query.
        for row in np.flatnonzero(~enough & (self.certain < self.item_count)):
            best = _best_of_all(self.block, int(row), hidden.of_row(int(row)), k)
            lists[row] = PADDING
            lists[row, : len(best)] = best
        return lists


def _reordered(block: ScoreBlock, items: Int64, apart: Flags) -> Int64:
    """Sort the runs of items that are not apart by float64 score, then by number."""
    close = np.flatnonzero(~apart.all(axis=1))
    if len(close) == 0:
        return items
    items = items.copy()
    gaps = apart[close]
    # The number of gaps before each item: items with no gap between them are one run, and no item leaves its
    # run. Gaps yes no yes no give the runs 0 1 1 2 2.
    run = np.concatenate([np.zeros((len(close), 1), np.int64), np.cumsum(gaps, axis=1)], axis=1)
    in_run = np.zeros(run.shape, dtype=np.bool_)  # whether an item has a neighbour that is not apart from it
    in_run[:, 1:] |= ~gaps
    in_run[:, :-1] |= ~gaps
    # Only these are scored in float64. All others are alone in their run, where any score will do.
    rows, columns = np.nonzero(in_run)
    exact = np.zeros(run.shape)
    exact[rows, columns] = block.pair_scores(close[rows], items[close[rows], columns])
    order = np.lexsort((items[close], -exact, run), axis=-1)
    items[close] = np.take_along_axis(items[close], order, axis=1)
    return items


def _best_of_all(block: ScoreBlock, row: int, hidden: Int64, k: int) -> Int64:
    """The k best items of one query that are not hidden, from the scores of all items, the best first."""
    whole: NDArray[Any] = block.whole(np.array([row]))[0]
    # Items are numbered from 1, their places in `whole` from 0.
    shown = np.delete(np.arange(1, len(whole) + 1), hidden - 1)
    k = min(k, len(shown))
    if k == 0:
        return shown
    scores, error = whole[shown - 1].astype(np.float64), float(block.tolerance[row])
    # The k-th greatest float32 score. An item may lie an error below its true score, and the k-th one above
    # its own, hence 2 errors.
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    possible = shown[(scores >= least - 2 * error) & (scores > -np.inf)]
    if error == 0:  # scores are exact, so of equal ones the first numbers win and need not be sorted
        greater, equal = shown[scores > least], shown[(scores == least) & (scores > -np.inf)]
        possible = np.concatenate([greater, equal[: k - len(greater)]])
    exact = block.pair_scores(np.full(len(possible), row), possible)
    best: Int64 = possible[np.lexsort((possible, -exact))[:k]]
    return best
