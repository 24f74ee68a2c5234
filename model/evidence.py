"""The candidates for the next item of a history, and the features of each candidate that a ranker reads.

Candidates are the items that Order-KNN scores highest after the history, the items whose content is nearest
to that of the newest item, for each content type (as Content-KNN finds them), and the most popular items.
Each candidate has features of three kinds:

- from actions: how often it followed, and preceded, each of the newest items in training, scaled by the
  popularity of both (`near_pairs`), and the weighted sum over the whole history;
- from content, for each type: its cosine with each of the newest items, the largest of these, and its cosine
  with the mean of the history;
- counts: how often the candidate and the newest item were taken, the length of the history, and whether the
  history contains the candidate.

Example: the history ends in a puzzle. Another puzzle of the same make, which nobody took after it, has
strengths of 0 and a cosine of .9. A game that many users took next has a strength of .02 and a cosine of .3.

Shapes: B queries, L steps, N items, C candidates of a query, D dimensions of a content type, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..core.dataset import Histories, Int64
from ..core.float32 import full_float32
from ..core.schema import PADDING
from .batches import newest
from .near_pairs import Float64, NearPairs, looked_up, near_pairs
from .place_weights import place_weights

POPULAR = 50  # of the most popular items are candidates of everyone
SPARE = 32  # a float32 product proposes so many more nearest items than wanted; float64 chooses among them
DECIMALS = 9  # features are rounded to these, so that block size and number of threads change none
STRENGTH_UNIT = 3000.0  # a pair that met once has a strength of about 1 / 3000: log(1 + 3000 s) is then log 2
ORDER_PLACES, CONTENT_PLACES = 3, 5  # newest items that have a feature of their own
ORDER_DECAYS, CONTENT_DECAY = (0.6, 1.0), 0.8  # in sums over the history, weight of an item beside the next
OF_ORDER = len(ORDER_DECAYS) + 2 * ORDER_PLACES + 2
OF_CONTENT = CONTENT_PLACES + 3
OF_ITEMS = 5


@dataclass(frozen=True)
class Candidates:
    """The candidates of B histories: `items` (B, C), ascending; 0 fills up shorter lists."""

    items: Int64
    features: NDArray[np.float32]  # (B, C, F)

    @property
    def real(self) -> NDArray[np.bool_]:
        """Which places of the lists hold an item, (B, C)."""
        real: NDArray[np.bool_] = self.items != PADDING
        return real


class Evidence:
    """Finds candidates and computes their features, from train histories and the items' content.

    `contents` are vectors of length 1, (N + 1, D) each, zeros for items without content.
    """

    def __init__(self, train: Histories, contents: Sequence[Tensor], length: int, proposed: int) -> None:
        self.length, self.proposed = length, proposed
        self.use(contents)
        self.pairs: NearPairs = near_pairs(train)
        self.taken: Int64 = train.counts()
        numbers = np.arange(1, train.item_count + 1)
        # `lexsort` sorts by its last key first: by falling count, equal counts by item number.
        self._popular = np.sort(numbers[np.lexsort((numbers, -self.taken[1:]))][:POPULAR])

    def use(self, contents: Sequence[Tensor]) -> None:
        """Read content from these tensors, on whatever device they are."""
        self.contents = contents
        self._present = [vectors.any(dim=1) for vectors in contents]

    @property
    def feature_count(self) -> int:
        """F."""
        return OF_ORDER + len(self.contents) * OF_CONTENT + OF_ITEMS

    def candidates(
        self, histories: Histories, low: int, high: int, cold: NDArray[np.bool_] | None = None
    ) -> Candidates:
        """The candidates of histories low…high-1, with their features.

        Items marked in `cold`, (N + 1,), are treated as if nobody had ever taken them: only content makes
        them candidates, and their features from actions and their count are 0.
        """
        # False for items that are treated as cold; entry 0 is the padding.
        known = np.ones(self._width, dtype=bool) if cold is None else ~cold
        inputs = newest(histories, low, high, self.length)
        # Features of the five newest places exist for any L; a window shorter than that has padding in front.
        inputs = F.pad(inputs, (max(0, CONTENT_PLACES - self.length), 0))
        cells, sums = self._reached(inputs, known)
        popular = self._popular[known[self._popular]]
        # Each proposal is a list of cells, row · (N + 1) + item. `unique` sorts them and
        # drops what several proposed.
        proposals = [self._strongest(cells, sums[:, 0], len(inputs)), self._everyone(popular, len(inputs))]
        proposals += [self._nearest(vectors, inputs) for vectors in self.contents]
        items = self._lists(np.unique(np.concatenate(proposals)), len(inputs))
        parts = [
            # (B, C, OF_ORDER): 0 for items that are treated as cold.
            self._order(inputs.numpy(), items, cells, sums) * known[items, None],
            *(
                _content(vectors, present, inputs, torch.from_numpy(items))
                for vectors, present in zip(self.contents, self._present, strict=True)
            ),
            self._items(inputs.numpy(), items, known),
        ]
        features = np.concatenate(parts, axis=2).round(DECIMALS).astype(np.float32)
        return Candidates(items, features)

    @property
    def _width(self) -> int:
        return len(self.taken)

    def _reached(self, inputs: Tensor, known: NDArray[np.bool_]) -> tuple[Int64, Float64]:
        """The `known` items that followed or preceded an item of a history, and the sums of their strengths.

        Cells row · (N + 1) + item (K,), and their strengths (K, decays).
        """
        # (B, L, decays): what an action of the window counts, for each of the sums.
        weights = np.stack(
            [place_weights(inputs != PADDING, decay).double().numpy() for decay in ORDER_DECAYS], axis=2
        )
        reached = self.pairs.reached(inputs.numpy())
        # The remainder of a cell is its item.
        kept = known[reached[0] % self._width]
        found, places, entries = (numbers[kept] for numbers in reached)
        cells, which = np.unique(found, return_inverse=True)
        # (entries, decays): the weight of the action times how strongly it leads to the item.
        parts = weights.reshape(-1, len(ORDER_DECAYS))[places] * self.pairs.leads[entries, None]
        sums = [np.bincount(which, part, minlength=len(cells)) for part in parts.T]
        return cells.astype(np.int64), np.stack(sums, axis=1).astype(np.float64).round(DECIMALS + 3)

    def _strongest(self, cells: Int64, sums: Float64, rows: int) -> Int64:
        """The cells of each row's items with the greatest sums; of equals, those of the smaller numbers."""
        # By row, in a row by falling sum, of equal sums by item. Each row keeps its stretch of places, so the
        # place in the stretch is the rank.
        order = np.lexsort((cells, -sums, cells // self._width))
        first = np.searchsorted(cells, np.arange(rows) * self._width)
        place = np.arange(len(cells)) - first[cells[order] // self._width]
        return cells[order[place < self.proposed]]

    def _everyone(self, popular: Int64, rows: int) -> Int64:
        """The cells of the popular items, for all rows."""
        return (np.arange(rows)[:, None] * self._width + popular).ravel()

    @full_float32()
    def _nearest(self, vectors: Tensor, inputs: Tensor) -> Int64:
        """The cells of the items whose content is nearest to the newest item's, where that has any."""
        asked = vectors[inputs[:, -1].to(vectors.device)]
        rows = asked.any(dim=1).nonzero()[:, 0]
        # The float32 product is fast, but its last digits depend on the block. So it only proposes, and the
        # few that it proposes are compared again in float64.
        found = (asked[rows] @ vectors[1:].T).topk(min(self.proposed + SPARE, len(vectors) - 1)).indices + 1
        exact = torch.einsum("rd,rkd->rk", asked[rows].double(), vectors[found].double()).cpu().numpy()
        items = found.cpu().numpy()
        # In each row by falling cosine, of equal cosines by item number.
        order = np.lexsort((items, -exact.round(DECIMALS)), axis=1)[:, : self.proposed]
        kept = np.take_along_axis(items, order, axis=1)
        cells: Int64 = rows.cpu().numpy()[:, None] * self._width + kept
        return cells.ravel()

    def _lists(self, cells: Int64, rows: int) -> Int64:
        """Ascending cells as a list of items for each row, padded at the end: (B, C)."""
        owners, items = np.divmod(cells, self._width)
        # Where the stretch of each row begins; its longest stretch is C.
        starts = np.searchsorted(owners, np.arange(rows + 1))
        lists = np.zeros((rows, int(np.diff(starts).max(initial=0))), dtype=np.int64)
        lists[owners, np.arange(len(cells)) - starts[owners]] = items
        return lists

    def _order(self, inputs: Int64, items: Int64, cells: Int64, sums: Float64) -> Float64:
        """The features from actions, (B, C, OF_ORDER)."""
        # (B, C, decays): the sums over the whole history.
        together = looked_up(cells, sums, np.arange(len(items))[:, None] * self._width + items)
        # For the newest item, the one before it and the next one back: the key of
        # its pair with each candidate.
        pairs = [inputs[:, -back, None] * self._width + items for back in range(1, ORDER_PLACES + 1)]
        single = [looked_up(self.pairs.keys, self.pairs.strengths, keys) for keys in pairs]  # (B, C, 2) each
        counts = looked_up(self.pairs.keys, self.pairs.counts, pairs[0])
        # Most strengths are 0 and a few are large: the logarithm keeps both within a few units.
        scaled = np.log1p(STRENGTH_UNIT * np.concatenate([together, *single], axis=2))
        return np.concatenate([scaled, np.log1p(counts)], axis=2)

    def _items(self, inputs: Int64, items: Int64, known: NDArray[np.bool_]) -> Float64:
        """Counts, and whether the history contains the candidate, (B, C, OF_ITEMS)."""
        newest_item = inputs[:, -1, None]
        # (B, 1, L) against (B, C, 1).
        held = (inputs[:, None] == items[..., None]).any(axis=2)
        length = (inputs != PADDING).sum(axis=1, keepdims=True)
        of_query = np.concatenate([np.log1p(self.taken[newest_item]), np.log1p(length)], axis=1)
        return np.concatenate(
            [
                # The candidate's count; the newest item's count and the history's length, the same for all
                # candidates; whether the history, and whether its newest action, is the candidate.
                np.log1p(self.taken[items] * known[items])[..., None],
                np.broadcast_to(of_query[:, None], (*items.shape, 2)),
                held[..., None],
                (items == newest_item)[..., None],
            ],
            axis=2,
        )


def _content(vectors: Tensor, present: Tensor, inputs: Tensor, items: Tensor) -> Float64:
    """The cosines of one content type, in float64 so that no block changes them, (B, C, OF_CONTENT)."""
    inputs, items = inputs.to(vectors.device), items.to(vectors.device)
    known, offered = vectors[inputs].double(), vectors[items].double()  # (B, L, D), (B, C, D)
    # The mean of the history, (B, D), in which a newer action counts more.
    mean = torch.einsum("bl,bld->bd", place_weights(present[inputs], CONTENT_DECAY).double(), known)
    # (B, places + 1, D): the newest items, the newest first, and the mean behind them.
    asking = torch.cat([known[:, -CONTENT_PLACES:].flip(1), mean[:, None]], dim=1)
    # Vectors have length 1, so inner products are cosines; with the mean it is their weighted mean.
    cosines = torch.einsum("bcd,bpd->bcp", offered, asking)
    single, of_mean = cosines[..., :-1], cosines[..., -1:]
    largest = single.amax(dim=2, keepdim=True)
    parts = torch.cat([single, largest, of_mean, present[items, None].double()], dim=2)
    return parts.cpu().numpy()
