"""Negatives: items that a user did not take in training, drawn uniformly, with one search for each draw.

Drawing any item and drawing again while the user took it would also be uniform, but needs an unknown number
of rounds, each of which makes a GPU wait.

Shapes: P draws, E distinct pairs of user and item, U users, K items that occur in training.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..core.dataset import Histories


class Negatives(nn.Module):
    """Draws among the items of the train split that are not in a user's own train history.

    An item that occurs only as a validation or test target is never drawn: training must not know of it. The
    K others are numbered 0…K-1 here. With the taken items t_0 < t_1 < … of a user, t_r - r items before t_r
    are free. So free item number k (from 0) has as many taken ones before it as there are r with
    t_r - r <= k, and is item k plus that count: one search in a sorted array.

    Example: of items 0…5 a user took 1 and 4, so t_r - r is 1 and 3, and the free items are 0, 2, 3, 5. For
    k = 2, one taken item has t_r - r <= 2, which gives item 2 + 1 = 3.
    """

    free_before: Tensor
    firsts: Tensor
    free_counts: Tensor
    items: Tensor

    def __init__(self, train: Histories) -> None:
        super().__init__()
        # (E,) each, sorted by user and then by item.
        users, taken_items = train.distinct()
        known = np.flatnonzero(train.counts())  # the item numbers behind 0…K-1
        self.item_count = len(known)
        """K, how many items may be drawn."""
        taken = np.bincount(users, minlength=len(train))  # (U,)
        # Where each user's pairs begin, and r, the place of each pair among those of its user. Example: with
        # 2 and 3 items taken, `firsts` is 0 2 and `rank` is 0 1 0 1 2.
        firsts = np.cumsum(taken) - taken
        rank = np.arange(len(users)) - firsts[users]
        # t_r - r of every user in one ascending array: each user's numbers are shifted by K + 1 more.
        free_before = users * (self.item_count + 1) + np.searchsorted(known, taken_items) - rank
        for name, values in (
            ("free_before", free_before),
            ("firsts", firsts),
            ("free_counts", self.item_count - taken),
            ("items", known),
        ):
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def draw(self, users: Tensor) -> Tensor:
        """One free item for each of these users, (P,); any train item for a user who took all."""
        free = self.free_counts[users].clamp_min(1)
        # k: free items are numbered 0…free-1, and each is as likely as the others.
        place = (torch.rand(len(users), device=users.device, dtype=torch.float64) * free).long()
        key = users * (self.item_count + 1) + place
        # The search counts all numbers up to the key, those of earlier users among
        # them, which are subtracted.
        taken_before = torch.searchsorted(self.free_before, key, right=True) - self.firsts[users]
        # Only a user who took all K items has a place beyond the last one.
        return self.items[(place + taken_before).clamp_max(self.item_count - 1)]
