"""The best items themselves, for whoever wants to see or use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.dataset import Histories, Int32, Int64
from ..core.float32 import full_float32
from ..core.schema import PADDING
from .masks import SeenItems
from .ranking import BLOCK
from .scoring import Float64, ScoreBlock, Scorer, open_index
from .settings import Backend


@dataclass(frozen=True)
class Lists:
    """The best items of Q queries, the best first, and their scores, (Q, k) each; 0 and NaN fill up."""

    items: Int32
    scores: Float64


@full_float32()
def recommend(
    histories: Histories,
    scorer: Scorer,
    k: int,
    mask: Literal["none", "hard"] = "none",
    *,
    without: Int64 | None = None,
    backend: Backend = "auto",
    device: str = "cpu",
) -> Lists:
    """The k items with the greatest scores for each of Q histories.

    Equal scores stand in the order of item numbers. Items of `without`, and what the scorer skips, are in no
    list; where they and the mask leave fewer than k items, lists are filled up. Like ranks, lists do not
    depend on threads or on what searches; they raise the same errors.
    """
    left_out = np.empty(0, np.int64) if without is None else without
    listed = np.setdiff1d(np.arange(1, histories.item_count + 1), left_out)  # (K,), the items of the index
    place_of = np.zeros(histories.item_count + 1, np.int64)  # 1…K, 0 for what is left out
    place_of[listed] = np.arange(1, len(listed) + 1)
    lists = Lists(np.full((len(histories), k), PADDING, dtype=np.int32), np.full((len(histories), k), np.nan))
    if len(listed) == 0:
        return lists
    index = open_index(scorer, histories.item_count, backend, device, listed if len(left_out) else None)
    for lo in range(0, len(histories), BLOCK):
        hi = min(lo + BLOCK, len(histories))
        block = index.block(lo, hi)
        seen = SeenItems.of(histories, lo, hi, 0 if mask == "none" else None)
        bounds = np.searchsorted(seen.rows, np.arange(hi - lo + 1))
        width = min(len(listed), 2 * k + int(np.diff(bounds).max()))
        scores, places = block.best(width)
        for row in range(hi - lo):
            hidden = place_of[seen.items[bounds[row] : bounds[row + 1]]]
            best, found = _order(block, row, places[row], hidden, k)
            least = found.min(initial=np.inf)
            if width < len(listed) and least <= scores[row, -1] + block.tolerance[row]:
                # What was not listed may belong here too: look at all items that could.
                whole = block.whole(np.array([row]))[0]
                candidates = np.flatnonzero(whole >= least - block.tolerance[row]) + 1
                best, found = _order(block, row, candidates, hidden, k)
            lists.items[lo + row, : len(best)] = listed[best - 1]
            lists.scores[lo + row, : len(best)] = found
    return lists


def _order(block: ScoreBlock, row: int, places: Int64, hidden: Int64, k: int) -> tuple[Int64, Float64]:
    places = places[~np.isin(places, hidden)]
    scores = block.pair_scores(np.full(len(places), row), places)
    candidates = scores > -np.inf  # what a model skips belongs in no list, however short
    places, scores = places[candidates], scores[candidates]
    order = np.lexsort((places, -scores))[:k]
    return places[order], scores[order]
