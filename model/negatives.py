"""Items a user did not take, drawn evenly: exactly, without trying until one fits.

Shapes: P draws, E distinct pairs of user and item, U users, N items.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..core.dataset import Histories


class Negatives(nn.Module):
    """Draws among the items that are not in a user's train history.

    With the taken items t_0 < t_1 < … of a user, t_r - 1 - r items before t_r are free. So free item number k
    has as many taken ones before it as there are r with t_r - 1 - r <= k: one search in a sorted array.
    """

    free_before: Tensor
    firsts: Tensor
    free_counts: Tensor

    def __init__(self, train: Histories) -> None:
        super().__init__()
        users, items = train.distinct()
        self.item_count = train.item_count
        taken = np.bincount(users, minlength=len(train))
        firsts = np.cumsum(taken) - taken
        rank = np.arange(len(users)) - firsts[users]
        free_before = users * (train.item_count + 1) + items - 1 - rank  # ascends over all users
        for name, values in (
            ("free_before", free_before),
            ("firsts", firsts),
            ("free_counts", train.item_count - taken),
        ):
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def draw(self, users: Tensor) -> Tensor:
        """One free item, 1…N, for each of these users, (P,); any item for a user who took all."""
        free = self.free_counts[users].clamp_min(1)
        place = (torch.rand(len(users), device=users.device, dtype=torch.float64) * free).long()
        key = users * (self.item_count + 1) + place
        taken_before = torch.searchsorted(self.free_before, key, right=True) - self.firsts[users]
        return (place + 1 + taken_before).clamp_max(self.item_count)
