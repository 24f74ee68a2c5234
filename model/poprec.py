"""PopRec: everyone gets the items that were taken most often.

Counts are of train actions, every repeat counts. Written as the inner product all models share: an empty
state, and the count as the item's bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..core.dataset import Queries

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import PopRecSettings


class PopRec(nn.Module):
    """Scores are train counts, the same for all users."""

    counts: Tensor
    skips_last = False

    def __init__(self, materials: Materials, settings: PopRecSettings) -> None:
        super().__init__()
        self.length = None
        counts = materials.train_counts[1:].to(torch.float32)  # exact up to 2^24 actions an item
        self.register_buffer("counts", counts)

    def encode_queries(self, queries: Queries, low: int, high: int) -> Tensor:
        """Zeros (B, 1): the history says nothing here."""
        return torch.zeros(high - low, 1, device=self.counts.device)

    def items(self) -> tuple[Tensor, Tensor]:
        """Empty vectors (N, 1), and the counts (N,)."""
        return torch.zeros(len(self.counts), 1, device=self.counts.device), self.counts
