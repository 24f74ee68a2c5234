"""Order-KNN: items taken near one another, in the order they were taken; nothing is trained.

How strongly item i leads to item j is a sum over train histories: 1 where j came next after i, .8 where one
action lay between, .8² where two did, up to twenty steps; and .15 of that for j leading back to i. It is
divided by the square root of (taken + 60) of both items, so that what everybody takes does not follow
everything, and no pair of rare items wins by one meeting. A history asks with its newest L items, weighted 1,
d, d², … from the newest back; an item's score is the weighted mean of how strongly they lead to it. The
newest item is no candidate. The numbers are what validation preferred on Amazon's Toys; on its Beauty and
Instruments they are within 2 % of the best that was tried.
Reference: sequential rules (Ludewig & Jannach, UMUAI 2018, arXiv 1803.09587), which count forward alone, by
1 / steps, and ask with the newest item. On purpose different: both directions, the division by what is
popular, and several newest items. Against ItemKNN it knows which actions were near, and forgets old ones.

What the pairs say is kept as it is: the inner products of 768 dimensions that come nearest to all pairs of
Toys lose half of what they add to other models.

Shapes: B queries, L steps, N items, E pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..core.dataset import Histories, Int64, Queries
from ..core.schema import PADDING
from .batches import newest
from .itemknn import DECIMALS, ranges
from .place_weights import place_weights

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import OrderKNNSettings

Float64 = NDArray[np.float64]

REACH = 20  # steps that two actions may be apart and count
NEARNESS = 0.8  # what a pair counts beside one that is a step nearer
BACK = 0.15  # what it counts on the way back
SHRINK = 60.0  # added to how often an item was taken


class OrderKNN(nn.Module):
    """Pairs of items, made from the train histories whenever it is built, so nothing is saved."""

    skips_last = True

    def __init__(self, materials: Materials, settings: OrderKNNSettings) -> None:
        super().__init__()
        self.length = materials.length
        self.decay = settings.decay
        sources, self._targets, self._strengths = _pairs(materials.train)
        self._starts = np.searchsorted(sources, np.arange(materials.item_count + 2))

    def pairs(self) -> tuple[Int64, Int64, Float64]:
        """Every item with each that it leads to, and how strongly, (E,) each."""
        sources = np.repeat(np.arange(len(self._starts) - 1), np.diff(self._starts))
        return sources, self._targets, self._strengths

    def weights_by_count(self) -> Float64:
        """What the newest L items count where a history holds 0…L of them: (L + 1, L), the newest last."""
        there = torch.arange(self.length, 0, -1) <= torch.arange(self.length + 1)[:, None]
        weights: Float64 = place_weights(there, self.decay).double().numpy()
        return weights

    def scores(self, queries: Queries, low: int, high: int) -> Float64:
        """The weighted means of how strongly the newest L items lead to each item, (B, N)."""
        inputs = newest(queries.histories, low, high, self.length)
        weights = place_weights(inputs != PADDING, self.decay).double().numpy()
        rows, steps = np.nonzero(weights)
        items = inputs.numpy()[rows, steps]
        entries, owners = ranges(self._starts[items], self._starts[items + 1] - self._starts[items])
        width = queries.histories.item_count + 1
        cells = rows[owners] * width + self._targets[entries]
        parts = weights[rows, steps][owners] * self._strengths[entries]
        sums = np.bincount(cells, parts, minlength=(high - low) * width)
        return sums.reshape(high - low, width)[:, 1:].round(DECIMALS).astype(np.float64, copy=False)


def _pairs(train: Histories) -> tuple[Int64, Int64, Float64]:
    """Pairs of items that were near one another, and how strongly the first leads to the second, (E,)."""
    items, users = train.flat().astype(np.int64), np.repeat(np.arange(len(train)), train.lengths)
    width = train.item_count + 1
    keys, counted = [], []
    for step in range(1, REACH + 1):
        together = (users[step:] == users[:-step]) & (items[step:] != items[:-step])
        earlier, later = items[:-step][together], items[step:][together]
        nearness = NEARNESS ** (step - 1)
        keys += [earlier * width + later, later * width + earlier]
        counted += [np.full(len(earlier), nearness), np.full(len(later), nearness * BACK)]
    pairs, which = np.unique(np.concatenate(keys), return_inverse=True)
    sources, targets = np.divmod(pairs, width)
    scale = 1 / np.sqrt(train.counts() + SHRINK)
    strengths = np.bincount(which, np.concatenate(counted), minlength=len(pairs))
    return sources, targets, strengths * scale[sources] * scale[targets]
