"""ItemKNN: items taken by the same users recommend each other (Deshpande & Karypis, TOIS 2004).

Similarity is the cosine of two items' columns in the binary matrix of users and items, made from train
actions only, with shrinkage in the denominator: common users / (|i| |j| + shrink + 1e-6). An item is not its
own neighbour. An item's score is the sum of its similarities to those of its K nearest neighbours that the
history holds.
Reference: RecBole's ItemKNN. On purpose different: a shrinkage of 10 by default (there 0); repeats count
once; neighbours that tie at the cut are taken in the order of their numbers; the history is everything
before the target, not the train part alone.

Shapes: B histories, N items, E pairs of neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..core.dataset import Histories, Int64, Queries
from .ragged import greatest_of_rows, ranges

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import ItemKNNSettings

MEETINGS_AT_ONCE = 1 << 23  # of two items in a user's history, counted in one step
DECIMALS = 12  # scores are rounded to these, so that sums of equal terms are equal in any order


class ItemKNN(nn.Module):
    """Similarities between items; made from the train histories whenever it is built, so nothing is saved."""

    length = None
    skips_last = False

    def __init__(self, materials: Materials, settings: ItemKNNSettings) -> None:
        super().__init__()
        blocks = zip(*_neighbours(materials.train, settings), strict=True)
        items, neighbours, similarities = map(np.concatenate, blocks)
        # Sorted by neighbour: scoring starts from the items of a history and looks up all items that have
        # them as a neighbour.
        order = np.argsort(neighbours, kind="stable")
        self._items, self._similarities = items[order], similarities[order]
        self._starts = np.searchsorted(neighbours[order], np.arange(materials.item_count + 2))

    def pairs(self) -> tuple[Int64, Int64, NDArray[np.float64]]:
        """Every item with each of its neighbours and their similarity, (E,) each."""
        neighbours = np.repeat(np.arange(len(self._starts) - 1), np.diff(self._starts))
        return self._items, neighbours, self._similarities

    def scores(self, queries: Queries, low: int, high: int) -> NDArray[np.float64]:
        """Summed similarities to what is in histories low…high-1, (B, N)."""
        histories = queries.histories
        rows, items = histories.part(low, high).distinct()
        # For each item of a history, the range of items that have it as a neighbour, one after another.
        entries, owners = ranges(self._starts[items], self._starts[items + 1] - self._starts[items])
        width = histories.item_count + 1
        cells = rows[owners] * width + self._items[entries]
        sums = np.bincount(cells, self._similarities[entries], minlength=(high - low) * width)
        return sums.reshape(high - low, width)[:, 1:].round(DECIMALS).astype(np.float64, copy=False)


def _neighbours(
    train: Histories, settings: ItemKNNSettings
) -> Iterator[tuple[Int64, Int64, NDArray[np.float64]]]:
    """Yield (item, neighbour, similarity), each (E,), a block of items after another in ascending order."""
    users, items = train.distinct()  # sorted by user
    # The pairs in the order of their items: those of item i are takers[item_starts[i]:item_starts[i + 1]].
    takers = np.argsort(items, kind="stable")
    taken = np.bincount(users, minlength=len(train))
    user_starts = np.cumsum(taken) - taken
    width = train.item_count + 1
    counts = np.bincount(items, minlength=width)
    norms = np.sqrt(counts)
    # An item costs one row of N + 1 counters, and one count for each action of each of its users.
    meetings = np.bincount(items, taken[users], minlength=width)
    block_of = np.cumsum(meetings + width) // MEETINGS_AT_ONCE
    # A block begins at the item where the cost so far passes another multiple of MEETINGS_AT_ONCE.
    bounds = [*np.flatnonzero(np.diff(block_of, prepend=-1)), width]
    item_starts = np.concatenate([[0], np.cumsum(counts)])
    for low, high in pairwise(bounds):
        # For each pair (user, item) of the block, all that its user took: every
        # such item meets this one once.
        pairs = takers[item_starts[low] : item_starts[high]]
        entries, owners = ranges(user_starts[users[pairs]], taken[users[pairs]])
        cells = (items[pairs][owners] - low) * width + items[entries]
        common = np.bincount(cells, minlength=(high - low) * width).reshape(high - low, width)
        rows, others = np.nonzero(common)
        apart = rows + low != others
        rows, others = rows[apart], others[apart]
        similarity = common[rows, others] / (norms[rows + low] * norms[others] + settings.shrink + 1e-6)
        most = settings.neighbours or width  # 0 keeps all
        kept = greatest_of_rows(rows, similarity, others, most)
        yield rows[kept] + low, others[kept], similarity[kept]
