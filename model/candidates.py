"""The candidates for the next item of a history, and the features of each candidate that a ranker reads.

Candidates are the items that Order-KNN scores highest after the history, the items whose content is nearest
to that of the newest item and to the mean of the newest L, for each content type (as Content-KNN finds them),
the most popular items, and the items of the history itself, which may be taken again.
Each candidate has features of three kinds:

- from actions: how often it followed, and preceded, each of the three newest items in training, scaled by the
  popularity of both (`ordered_pairs`), the weighted sums over the newest L items, and how often it met the
  newest item, not scaled;
- from content, for each type: its cosine with each of the five newest items, the largest of these, its cosine
  with the mean of the newest L, and whether it has content of this type at all;
- counts: how often the candidate and the newest item were taken, which share of the candidate's train actions
  were repeats, how long the history is, how often it holds the candidate, and how long ago. The whole history
  counts here, however long.

Example: the history ends in a puzzle. Another puzzle of the same make, which nobody took after it, has
strengths of 0 and a cosine of .9. A game that many users took next has a strength of .02 and a cosine of .3.

Shapes: B queries, L steps, N items, C candidates of a query, D dimensions of a content type, F features.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..core.dataset import Float64, Histories, Int64
from ..core.float32 import full_float32
from ..core.schema import PADDING
from .batches import newest
from .ordered_pairs import OrderedPairs, count_ordered_pairs, looked_up
from .place_weights import place_weights
from .ragged import greatest_of_rows

POPULAR = 50  # of the most popular items are candidates of everyone
ROUNDING = 1e-5  # more than a cosine in float32 may be off
ITEMS_AT_ONCE = 1 << 12  # whose cosines with one vector are computed in float64 in one step
DECIMALS = 9  # features are rounded to these, so that block size and number of threads change none
STRENGTH_UNIT = 3000.0  # a pair that met once has a strength of about 1 / 3000: log(1 + 3000 s) is then log 2
ORDER_PLACES, CONTENT_PLACES = 3, 5  # newest items that have a feature of their own
ORDER_DECAYS, CONTENT_DECAY = (0.6, 1.0), 0.8  # in sums over the history, weight of an item beside the next
OF_ORDER = len(ORDER_DECAYS) + 2 * ORDER_PLACES + 2
OF_CONTENT = CONTENT_PLACES + 3
OF_ITEMS = 6


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


class CandidateGenerator:
    """Finds candidates and computes their features, from train histories and the items' content.

    `contents` are vectors of length 1, (N + 1, D) each, zeros for items without content.
    """

    def __init__(self, train: Histories, contents: Sequence[Tensor], length: int, proposed: int) -> None:
        self.length, self.proposed = length, proposed
        self.contents: Sequence[Tensor] = ()
        self._present: list[Tensor] = []
        self.use(contents)
        self.pairs: OrderedPairs = count_ordered_pairs(train)
        self.train_counts: Int64 = train.counts()
        takers = np.bincount(train.distinct()[1], minlength=self._width)
        # Which share of each item's actions are repeats, (N + 1,).
        self._repeats: Float64 = 1 - takers / np.maximum(self.train_counts, 1)
        numbers = np.arange(1, train.item_count + 1)
        # `lexsort` sorts by its last key first: by falling count, equal counts by item number.
        self._popular = np.sort(numbers[np.lexsort((numbers, -self.train_counts[1:]))][:POPULAR])

    def use(self, contents: Sequence[Tensor]) -> None:
        """Read content from these tensors, on whatever device they are; of the same ones nothing is new."""
        same = len(contents) == len(self.contents) and all(map(operator.is_, contents, self.contents))
        if not same:
            self.contents = contents
            # Which items have content reads every number of every vector, so it is not found block by block.
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
        # Each proposal is a list of cells, row · (N + 1) + item. `unique` sorts them and drops what several
        # proposed.
        proposals = [self._strongest(cells, sums[:, 0]), self._everyone(popular, len(inputs))]
        proposals.append(self._held(inputs.numpy(), known))
        means = [
            _mean_content(vectors, present, inputs)
            for vectors, present in zip(self.contents, self._present, strict=True)
        ]
        for vectors, mean in zip(self.contents, means, strict=True):
            newest_content = vectors[inputs[:, -1].to(vectors.device)]
            proposals += [self._nearest(vectors, asked) for asked in (newest_content, mean.float())]
        items = self._lists(np.unique(np.concatenate(proposals)), len(inputs))
        parts = [
            # (B, C, OF_ORDER): 0 for items that are treated as cold.
            self._order(inputs.numpy(), items, cells, sums) * known[items, None],
            *(
                _content(vectors, present, mean, inputs, torch.from_numpy(items))
                for vectors, present, mean in zip(self.contents, self._present, means, strict=True)
            ),
            self._items(histories.part(low, high), items, known),
        ]
        features = np.concatenate(parts, axis=2).round(DECIMALS).astype(np.float32)
        return Candidates(items, features)

    @property
    def _width(self) -> int:
        return len(self.train_counts)

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

    def _strongest(self, cells: Int64, sums: Float64) -> Int64:
        """The cells of each row's items with the greatest sums; of equals, those of the smaller numbers."""
        return cells[greatest_of_rows(cells // self._width, sums, cells, self.proposed)]

    def _held(self, inputs: Int64, known: NDArray[np.bool_]) -> Int64:
        """The cells of the `known` items that the windows hold."""
        rows, places = np.nonzero(known[inputs] & (inputs != PADDING))
        return rows * self._width + inputs[rows, places]

    def _everyone(self, popular: Int64, rows: int) -> Int64:
        """The cells of the popular items, for all rows."""
        return (np.arange(rows)[:, None] * self._width + popular).ravel()

    @full_float32()
    def _nearest(self, vectors: Tensor, asked: Tensor) -> Int64:
        """The cells of the items whose content is nearest to `asked`, (B, D), where that is not zero.

        A float32 product finds which may belong to them, also where many have nearly the same content, and
        float64 decides, so that neither device nor threads do.
        """
        rows = asked.any(dim=1).nonzero()[:, 0]
        # (R, N). Whatever comes within rounding of the last one wanted may belong to them.
        cosines = asked[rows] @ vectors[1:].T
        last = cosines.topk(min(self.proposed, cosines.shape[1])).values[:, -1:]
        near, items = (cosines >= last - ROUNDING).nonzero().T
        counts = near.bincount(minlength=len(rows)).tolist()
        # Row by row, for then what is multiplied stays in the processor's cache.
        exact = [
            vectors[part + 1].double() @ asked[row].double()
            for row, own in zip(rows.tolist(), items.split(counts), strict=True)
            for part in own.split(ITEMS_AT_ONCE)
        ]
        if not exact:
            return np.empty(0, dtype=np.int64)
        owners, found = rows[near].cpu().numpy(), items.cpu().numpy() + 1
        kept = greatest_of_rows(owners, torch.cat(exact).cpu().numpy().round(DECIMALS), found, self.proposed)
        cells: Int64 = owners[kept] * self._width + found[kept]
        return cells

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

    def _items(self, histories: Histories, items: Int64, known: NDArray[np.bool_]) -> Float64:
        """Counts of the candidates and of the whole histories, (B, C, OF_ITEMS)."""
        lengths = histories.lengths
        rows = np.repeat(np.arange(len(lengths)), lengths)
        ago = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(rows))  # 1 for the newest action
        flat = histories.flat()
        # From the newest action back, so that `first` is the last time that a history took an item.
        cells, first, times = np.unique(
            (rows * self._width + flat)[::-1], return_index=True, return_counts=True
        )
        held = np.stack([np.log1p(times), 1 / ago[::-1][first]], axis=1)
        newest_item = np.where(lengths > 0, histories.items[histories.ends - 1], PADDING)
        of_query = np.stack([np.log1p(self.train_counts[newest_item]), np.log1p(lengths)], axis=1)
        own = np.stack([np.log1p(self.train_counts[items]), self._repeats[items]], axis=2)
        return np.concatenate(
            [
                # The candidate's count and share of repeats; the newest item's count and the length of the
                # history, the same for all candidates; how often, and how long ago, it took the candidate.
                own * known[items, None],
                np.broadcast_to(of_query[:, None], (*items.shape, 2)),
                looked_up(cells, held, np.arange(len(items))[:, None] * self._width + items),
            ],
            axis=2,
        )


def _mean_content(vectors: Tensor, present: Tensor, inputs: Tensor) -> Tensor:
    """The weighted mean of a content type over each window, in float64, (B, D); zeros where none has any."""
    inputs = inputs.to(vectors.device)
    weights = place_weights(present[inputs], CONTENT_DECAY).double()
    return torch.einsum("bl,bld->bd", weights, vectors[inputs].double())


def _content(vectors: Tensor, present: Tensor, mean: Tensor, inputs: Tensor, items: Tensor) -> Float64:
    """The cosines of one content type, in float64 so that no block changes them, (B, C, OF_CONTENT)."""
    inputs, items = inputs[:, -CONTENT_PLACES:].to(vectors.device), items.to(vectors.device)
    known = vectors[inputs].double()  # (B, places, D)
    # (B, places + 1, D): the newest items, the newest first, and the mean behind them. Vectors have length 1,
    # so inner products are cosines; with the mean it is their weighted mean.
    asking = torch.cat([known.flip(1), mean[:, None]], dim=1)
    # (B, C, places + 1), query by query, for then what is multiplied stays in the processor's cache.
    cosines = torch.stack(
        [vectors[offered].double() @ of.T for offered, of in zip(items, asking, strict=True)]
    )
    single, of_mean = cosines[..., :-1], cosines[..., -1:]
    largest = single.amax(dim=2, keepdim=True)
    parts = torch.cat([single, largest, of_mean, present[items, None].double()], dim=2)
    return parts.cpu().numpy()
