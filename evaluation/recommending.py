"""The best items of each query and their scores: what `tssr recommend` and the reports show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..core.dataset import Float64, Histories, Int32, Int64
from ..core.float32 import full_float32
from ..core.schema import PADDING
from .listing import OrderedBlock
from .masks import SeenItems
from .ranking import BLOCK
from .scoring import Scorer, block_size, open_index
from .settings import Backend


@dataclass(frozen=True)
class RecommendedLists:
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
) -> RecommendedLists:
    """The k items with the greatest scores for each of Q histories.

    Items with equal scores are ordered by item number. Items of `without`, and those the scorer skips, are in
    no list; where they and the mask leave fewer than k items, a list ends with item 0 and score NaN. Like
    ranks, lists do not depend on threads or the search backend; the same errors are raised.
    """
    left_out = np.empty(0, np.int64) if without is None else without
    listed = np.setdiff1d(np.arange(1, histories.item_count + 1), left_out)  # (K,), the items of the index
    place_of = np.zeros(histories.item_count + 1, np.int64)  # 1…K, 0 for what is left out
    place_of[listed] = np.arange(1, len(listed) + 1)
    lists = RecommendedLists(
        np.full((len(histories), k), PADDING, dtype=np.int32), np.full((len(histories), k), np.nan)
    )
    if len(listed) == 0:
        return lists
    index = open_index(scorer, histories.item_count, backend, device, listed if len(left_out) else None)
    size = block_size(scorer, histories.item_count, BLOCK)
    for lo in range(0, len(histories), size):
        hi = min(lo + size, len(histories))
        block = index.block(lo, hi)
        seen = SeenItems.of(histories, lo, hi, 0 if mask == "none" else None)
        # The block knows items by their places in `listed`. Seen items that are left out anyway have none.
        hidden = replace(seen, items=place_of[seen.items]).only(place_of[seen.items] > 0)
        longest = int(np.bincount(hidden.rows, minlength=1).max())
        # So many that the mask leaves 2 k: with k to spare, the list's end seldom ties with its last place.
        ordered = OrderedBlock.of(block, *block.best(min(len(listed), 2 * k + longest)), len(listed))
        places = ordered.lists(k, hidden)
        rows, columns = np.nonzero(places)
        found = places[rows, columns].astype(np.int64)
        # Back from places to item numbers.
        lists.items[lo + rows, columns] = listed[found - 1]
        lists.scores[lo + rows, columns] = block.pair_scores(rows, found)
    return lists
