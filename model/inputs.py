"""How items enter a sequence model: as learned vectors, as projected content, or as both.

Shapes: B batch, L steps, D width, N items, C content dimension.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..core.schema import PADDING
from .layers import Mix

if TYPE_CHECKING:
    from .registry import Materials


@dataclass(frozen=True)
class ContentFeatures:
    """One content type of all items: `vectors` (N + 1, C), row 0 the padding; which rows are `present`."""

    name: str
    vectors: Tensor
    present: Tensor

    def filled(self, rule: str, train_counts: Tensor) -> Tensor:
        """Give items without content the mean vector of the train items that have one, or leave them 0."""
        if rule == "zero" or bool(self.present[1:].all()):
            return self.vectors
        known = self.present & (train_counts > 0)
        vectors = self.vectors.clone()
        absent = ~self.present
        absent[PADDING] = False
        if known.any():
            vectors[absent] = vectors[known].to(torch.float32).mean(0).to(vectors.dtype)
        return vectors


class ItemVectors(nn.Module):
    """A learned vector for each item: the ID stream's input. `further` tokens come after the items."""

    def __init__(self, item_count: int, width: int, further: int = 0) -> None:
        super().__init__()
        self.table = nn.Embedding(item_count + 1 + further, width, padding_idx=PADDING)

    def forward(self, items: Tensor) -> Tensor:
        """(B, L) -> (B, L, D)."""
        vectors: Tensor = self.table(items)
        return vectors


class ContentVectors(nn.Module):
    """Frozen content features through one linear layer, as the released code has it: no activation, no norm.

    Items without content carry a learned vector on top, the bit by which the model can tell them.
    The features are not saved with the model; they come from the feature store.
    """

    features: Tensor
    absent: Tensor

    def __init__(self, features: ContentFeatures, width: int, rule: str, train_counts: Tensor) -> None:
        super().__init__()
        self.project = nn.Linear(features.vectors.shape[1], width)
        absent = ~features.present
        absent[PADDING] = False
        self.missing = nn.Parameter(torch.zeros(width)) if bool(absent.any()) else None
        self.register_buffer("features", features.filled(rule, train_counts), persistent=False)
        self.register_buffer("absent", absent, persistent=False)

    def forward(self, items: Tensor) -> Tensor:
        """(B, L) -> (B, L, D)."""
        vectors: Tensor = self.project(self.features[items].to(self.project.weight.dtype))
        if self.missing is not None:
            vectors = vectors + self.absent[items].unsqueeze(-1) * self.missing
        return vectors


class Concatenated(nn.Module):
    """Several inputs side by side, mixed down to the model's width by one linear layer."""

    def __init__(self, parts: list[nn.Module], width: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.mix = Mix(width, len(parts))

    def forward(self, items: Tensor) -> Tensor:
        """(B, L) -> (B, L, D)."""
        mixed: Tensor = self.mix([part(items) for part in self.parts])
        return mixed


def content_vectors(materials: Materials, width: int, rule: str) -> list[nn.Module]:
    """An input for each content type; `rule` says what stands for missing content."""
    counts = materials.train_counts
    return [ContentVectors(content, width, rule, counts) for content in materials.contents]


def id_and_content(materials: Materials, width: int, rule: str) -> Concatenated:
    """Learned vectors and every content type, mixed into one input."""
    parts = [ItemVectors(materials.item_count, width), *content_vectors(materials, width, rule)]
    return Concatenated(parts, width)
