"""Order-KNN: items taken near one another, in the order they were taken; nothing is trained.

How strongly item i leads to item j is a sum over train histories: 1 where j came next after i, .8 where
one action lay between, .8² where two did, up to twenty steps; and .15 of that for j leading back to i. It
is divided by √(n_i + 60) · √(n_j + 60), where n counts an item's train actions. Without that, popular
items would follow every item; without the 60, two rare items that met once would lead to each other more
strongly than any other pair. The newest L items of a history are weighted 1, d, d², … from the newest
back, and an item's score is the weighted mean of how strongly they lead to it. The newest item is no
candidate. The numbers .8, .15, 20 and 60 were chosen by the NDCG@10 of 4,000 validation users of Amazon's
Toys; on its Beauty and Instruments they are within 2 % of the best that was tried, again by that of 4,000
validation users.
Reference: sequential rules (Ludewig & Jannach, UMUAI 2018, arXiv 1803.09587), which count forward alone, by
1 / steps, and score by the newest item alone. On purpose different: both directions, the division by
popularity, and several newest items. Unlike ItemKNN, it counts how near two actions were, and in a history it
weighs old items less.

The strengths are kept pair by pair. Compressed into item vectors, so that inner products of 768 dimensions
come as near as they can to all pairs of Toys, they add only half as much to other models.

Shapes: B queries, L steps, N items, E pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..core.dataset import Int64, Queries
from ..core.schema import PADDING
from .batches import newest
from .itemknn import DECIMALS
from .ordered_pairs import count_ordered_pairs
from .place_weights import place_weights

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import OrderKNNSettings


class OrderKNN(nn.Module):
    """Pairs of items, made from the train histories whenever it is built, so nothing is saved."""

    skips_last = True

    def __init__(self, materials: Materials, settings: OrderKNNSettings) -> None:
        super().__init__()
        self.length = materials.length
        self.decay = settings.decay
        self._pairs = count_ordered_pairs(materials.train)

    def pairs(self) -> tuple[Int64, Int64, NDArray[np.float64]]:
        """Every item with each that it leads to, and how strongly, (E,) each."""
        return self._pairs.sources, self._pairs.targets, self._pairs.leads

    def weights_by_count(self) -> NDArray[np.float64]:
        """What the newest L items count where a history holds 0…L of them: (L + 1, L), the newest last."""
        # Row n has its last n places set. Example with L = 3: row 2 is False True True.
        there = torch.arange(self.length, 0, -1) <= torch.arange(self.length + 1)[:, None]
        weights: NDArray[np.float64] = place_weights(there, self.decay).double().numpy()
        return weights

    def scores(self, queries: Queries, low: int, high: int) -> NDArray[np.float64]:
        """The weighted means of how strongly the newest L items lead to each item, (B, N)."""
        inputs = newest(queries.histories, low, high, self.length)
        weights = place_weights(inputs != PADDING, self.decay).double().numpy()
        # One entry for each pair (item of the window, item it leads to); a cell is a query and a target.
        cells, places, entries = self._pairs.reached(inputs.numpy())
        parts = weights.ravel()[places] * self._pairs.leads[entries]
        width = queries.histories.item_count + 1
        # Adds up the parts of each cell; column 0, the padding, is no target.
        sums = np.bincount(cells, parts, minlength=(high - low) * width)
        return sums.reshape(high - low, width)[:, 1:].round(DECIMALS).astype(np.float64, copy=False)
