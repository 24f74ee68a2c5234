"""Counts of how often two items were taken near one another in training, and in which order.

A pair (i, j) counts 1 where j was the next action after i, .8 where one action lay between, .8² where two
did, and so on for REACH steps; counts of all users and places are added up. Example: the history a b c adds
1 to (a, b) and (b, c), and .8 to (a, c). How often j came after i and how often it came before are kept
apart: a phone case is bought after the phone, and seldom the other way round. Each item keeps the pairs with
the MOST items that it leads to most strongly.

Shapes: E pairs of different items that met, N items.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..core.dataset import Float64, Histories, Int64
from .ragged import greatest_of_rows, ranges

REACH = 20  # steps that two actions may be apart and count
NEARNESS = 0.8  # what a pair counts beside one that is a step nearer
BACK = 0.15  # what leading back counts beside leading forward, where one number is asked for
SHRINK = 60.0  # added to how often an item was taken
MOST = 1000  # targets that a source keeps, the strongest: 64 MB for a thousand sources that have so many
MEETINGS_AT_ONCE = 1 << 22  # of two actions, counted in one step


@dataclass(frozen=True)
class OrderedPairs:
    """Pairs of a source and a target, both ways round, in ascending order of source and target, (E,) each.

    `counts` (E, 2) say how often the target came after the source, and how often before it. `scale` is
    1 / √(taken + SHRINK) of every item, (N + 1,).
    """

    sources: Int64
    targets: Int64
    counts: Float64
    scale: Float64

    @cached_property
    def starts(self) -> Int64:
        """Where the pairs of each source begin, (N + 2,): those of item i are starts[i]…starts[i + 1] - 1."""
        return np.searchsorted(self.sources, np.arange(len(self.scale) + 1))

    @cached_property
    def strengths(self) -> Float64:
        """How strongly each source leads to its target, and how strongly back, (E, 2).

        The scale of both items takes from a count what everybody takes anyway, and lets no pair of rare items
        win by one meeting.
        """
        return self.counts * (self.scale[self.sources] * self.scale[self.targets])[:, None]

    @cached_property
    def leads(self) -> Float64:
        """How strongly each source leads to its target, both ways in one number, (E,)."""
        leads: Float64 = self.strengths @ (1.0, BACK)
        return leads

    def reached(self, inputs: Int64) -> tuple[Int64, Int64, Int64]:
        """What the items of windows (B, L), padded with 0, lead to: three numbers for each, (K,).

        The cell row · (N + 1) + target; the place row · L + step of the item that leads there; and which pair
        it is. A cell occurs once for each item of its window that leads there.
        """
        # The steps that hold an item, and for each the range of its pairs (see `starts`), one after another.
        places = np.flatnonzero(inputs)
        items, starts = inputs.ravel()[places], self.starts
        entries, owners = ranges(starts[items], starts[items + 1] - starts[items])
        # A place divided by L is its row.
        cells = places[owners] // inputs.shape[1] * len(self.scale) + self.targets[entries]
        return cells, places[owners], entries

    @cached_property
    def keys(self) -> Int64:
        """Pairs as numbers, source · (N + 1) + target, ascending: (E,)."""
        return self.sources * len(self.scale) + self.targets


def count_ordered_pairs(train: Histories, most: int = MOST) -> OrderedPairs:
    """Count the pairs of some histories; each source keeps its `most` strongest.

    Pairs are counted for some sources at a time, so that beside the log and the pairs that are kept no more
    is held than the meetings of a few sources.
    """
    items, users = train.flat().astype(np.int64), np.repeat(np.arange(len(train)), train.lengths)
    taken = train.counts()
    scale = 1 / np.sqrt(taken + SHRINK)
    # Behind each end stand REACH places of no user, so that no step leads out of the array.
    log = _Log(np.pad(items, REACH), np.pad(users, REACH, constant_values=-1), scale)
    places = np.argsort(items, kind="stable") + REACH  # where each item was taken, item by item
    block_of = np.cumsum(2 * REACH * taken) // MEETINGS_AT_ONCE
    bounds = [*np.flatnonzero(np.diff(block_of, prepend=-1)), len(taken)]
    ends = np.concatenate([[0], np.cumsum(taken)])
    blocks = [_block(log, places[ends[low] : ends[high]], most) for low, high in pairwise(bounds)]
    pairs, counts = map(np.concatenate, zip(*blocks, strict=True))
    sources, targets = np.divmod(pairs, len(taken))
    return OrderedPairs(sources, targets, counts, scale)


@dataclass(frozen=True)
class _Log:
    """All train actions one after another, padded at both ends, and the `scale` of every item."""

    items: Int64
    users: Int64
    scale: Float64


def _block(log: _Log, places: Int64, most: int) -> tuple[Int64, Float64]:
    """The pairs whose sources were taken at these places, (K,), ascending.

    They come as source · (N + 1) + target, (E,), with their counts (E, 2).
    """
    width = len(log.scale)
    steps = np.repeat(np.arange(1, REACH + 1), 2) * np.tile([1, -1], REACH)  # 1, -1, 2, -2, …
    others = places + steps[:, None]  # (2 · REACH, K)
    source, target = np.broadcast_to(log.items[places], others.shape), log.items[others]
    together = (log.users[others] == log.users[places]) & (target != source)
    # Equal pairs become one each, ascending, and their nearness is added up, column by column: column 0
    # where the target came after the source, column 1 where it came before.
    pairs, which = np.unique(source[together] * width + target[together], return_inverse=True)
    step = np.broadcast_to(steps[:, None], others.shape)[together]
    cells = 2 * which + (step < 0)
    counts = np.bincount(cells, NEARNESS ** (np.abs(step) - 1), minlength=2 * len(pairs)).reshape(-1, 2)
    sources, targets = np.divmod(pairs, width)
    kept = greatest_of_rows(sources, counts @ (1.0, BACK) * log.scale[targets], targets, most)
    kept.sort()
    return pairs[kept], counts[kept].astype(np.float64)


def looked_up(keys: Int64, values: Float64, wanted: Int64) -> Float64:
    """The rows of `values` (E, K) whose ascending `keys` (E,) are `wanted` (…); zeros for those of none."""
    if not len(keys):
        return np.zeros((*wanted.shape, values.shape[1]))
    # The first key that is not smaller, or the last key where all are; the product
    # below is 0 where it is another.
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found: Float64 = values[places] * (keys[places] == wanted)[..., None]
    return found
