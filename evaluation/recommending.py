"""The best items themselves, for whoever wants to see or use them."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..core.dataset import Histories, Int32, Int64
from ..core.schema import PADDING
from .masks import SeenItems
from .ranking import BLOCK
from .scoring import Block, Scorer, open_index
from .settings import Backend


def recommend(
    histories: Histories,
    scorer: Scorer,
    k: int,
    mask: Literal["none", "hard"] = "none",
    *,
    backend: Backend = "auto",
    device: str = "cpu",
) -> Int32:
    """The k items with the greatest scores for each of Q histories, the best first, (Q, k).

    Equal scores stand in the order of item numbers. Where the mask leaves fewer than k items, 0 fills up.
    Like ranks, lists do not depend on threads or on what searches; they raise the same errors.
    """
    item_count = histories.item_count
    index = open_index(scorer, item_count, backend, device)
    lists = np.full((len(histories), k), PADDING, dtype=np.int32)
    for lo in range(0, len(histories), BLOCK):
        hi = min(lo + BLOCK, len(histories))
        block = index.block(lo, hi)
        seen = SeenItems.of(histories, lo, hi, 0 if mask == "none" else None)
        bounds = np.searchsorted(seen.rows, np.arange(hi - lo + 1))
        width = min(item_count, 2 * k + int(np.diff(bounds).max()))
        scores, items = block.best(width)
        for row in range(hi - lo):
            hidden = seen.items[bounds[row] : bounds[row + 1]]
            best, least = _order(block, row, items[row], hidden, k)
            if width < item_count and least <= scores[row, -1] + block.tolerance[row]:
                # What was not listed may belong here too: look at all items that could.
                whole = block.whole(np.array([row]))[0]
                candidates = np.flatnonzero(whole >= least - block.tolerance[row]) + 1
                best, _ = _order(block, row, candidates, hidden, k)
            lists[lo + row, : len(best)] = best
    return lists


def _order(block: Block, row: int, items: Int64, hidden: Int64, k: int) -> tuple[Int64, float]:
    items = items[~np.isin(items, hidden)]
    scores = block.pair_scores(np.full(len(items), row), items)
    order = np.lexsort((items, -scores))[:k]
    return items[order], float(scores[order].min(initial=np.inf))
