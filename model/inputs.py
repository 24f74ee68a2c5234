"""How items enter a sequence model: as learned vectors, as projected content, or as both.

Shapes: B batch, L steps, D width, N items, C content dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..core.schema import PADDING
from .layers import Mix
from .settings import ReadingSettings

if TYPE_CHECKING:
    from .materials import ContentSource, Materials


class ItemVectors(nn.Module):
    """A learned vector for each item: the ID stream's input; `further` tokens (a mask) come after item N."""

    def __init__(self, item_count: int, width: int, further: int = 0) -> None:
        super().__init__()
        self.table = nn.Embedding(item_count + 1 + further, width, padding_idx=PADDING)

    def forward(self, items: Tensor) -> Tensor:
        """(B, L) -> (B, L, D)."""
        vectors: Tensor = self.table(items)
        return vectors


class ContentVectors(nn.Module):
    """Content vectors through one linear layer, as the released code has it: no activation, no norm.

    The vectors are those of the feature store, or of an encoder that is trained along, as in the release.
    A learned vector is added for items without content. So the model can tell such an item from one whose
    content happens to equal the vector that stands for missing content (`--missing mean` or `zero`).
    """

    absent: Tensor

    def __init__(
        self, source: ContentSource, width: int, settings: ReadingSettings, train_counts: Tensor
    ) -> None:
        super().__init__()
        self.content = source.content(settings, train_counts)
        self.project = nn.Linear(self.content.width, width)
        absent = source.absent
        # Only where it can be learned: with content for every item it would never change.
        self.missing = nn.Parameter(torch.zeros(width)) if bool(absent.any()) else None
        self.register_buffer("absent", absent, persistent=False)

    def forward(self, items: Tensor) -> Tensor:
        """(B, L) -> (B, L, D)."""
        vectors: Tensor = self.project(self.content(items).to(self.project.weight.dtype))
        if self.missing is not None:
            # (B, L, 1) times (D,): added to items without content, 0 for all others.
            vectors = vectors + self.absent[items].unsqueeze(-1) * self.missing
        return vectors


class ConcatenatedInputs(nn.Module):
    """Several inputs side by side, mixed down to the model's width by one linear layer."""

    def __init__(self, parts: Sequence[nn.Module], width: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.mix = Mix(width, len(parts))

    def forward(self, items: Tensor) -> Tensor:
        """(B, L) -> (B, L, D)."""
        mixed: Tensor = self.mix([part(items) for part in self.parts])
        return mixed


def content_vectors(materials: Materials, width: int, settings: ReadingSettings) -> list[ContentVectors]:
    """An input for each content type."""
    counts = materials.train_counts
    return [ContentVectors(content, width, settings, counts) for content in materials.contents]


def id_and_content(materials: Materials, width: int, settings: ReadingSettings) -> ConcatenatedInputs:
    """Learned vectors and every content type, mixed into one input."""
    parts = [ItemVectors(materials.item_count, width), *content_vectors(materials, width, settings)]
    return ConcatenatedInputs(parts, width)
