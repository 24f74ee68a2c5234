"""The item side of an exported model: from the content vectors of a new item to its item vector and bias.

A new item has no row in the model's item table and no bias. The means over the items that were taken in
training stand for both, as for every cold item (see `ItemHead.items_with_cold`).

Shapes: K items, M content types, C_m width of type m, D width of the model.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from .blend import VectorBlend
from .content_knn import ContentKNN
from .content_scaling import ContentScaling
from .inputs import ContentVectors
from .recommender import SequenceRecommender, VectorRecommender

Given = Sequence[tuple[Tensor, Tensor]]  # of each content type the vectors (K, C_m), and who has one, (K,)


class ItemSide(nn.Module):
    """The item side as one graph whose input is the concatenation of all content types."""

    def __init__(self, part: nn.Module, widths: Sequence[int], bonus: float = 0.0) -> None:
        """`part` takes what is `Given` of content types of these widths; `bonus` is added to every bias."""
        super().__init__()
        self.part, self.bonus = part, bonus
        self.widths = list(widths)

    def forward(self, content: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Content (K, Σ C_m) and which types an item has, (K, M) bool -> vectors (K, D), biases (K,)."""
        types = torch.split(content, self.widths, dim=1)
        given = [(vectors, present[:, m]) for m, vectors in enumerate(types)]
        vectors, bias = self.part(given)
        return vectors, bias + self.bonus


class HeadSide(nn.Module):
    """A sequence model whose head reads content: its projections, fed with what is given."""

    row: Tensor
    bias: Tensor

    def __init__(self, model: SequenceRecommender, scalings: Sequence[ContentScaling], warm: Tensor) -> None:
        """`scalings` are of the model's content types in their order; means are over `warm` items, (N,)."""
        super().__init__()
        head = model.head
        self.scalings = nn.ModuleList(scalings)
        self.inputs = nn.ModuleList(_without_tables(item_input) for item_input in (*head.inputs, *head.tied))
        nothing = torch.zeros(1)
        row = nothing if head.weight is None else head.weight.detach()[warm].mean(dim=0)
        self.register_buffer("row", row)
        self.register_buffer("bias", head.bias.detach()[warm].mean())

    def forward(self, given: Given) -> tuple[Tensor, Tensor]:
        """Vectors (K, D) and biases (K,)."""
        scaled = [
            (scaling(vectors, present), ~present)
            for scaling, (vectors, present) in zip(self.scalings, given, strict=True)
        ]
        total, met = self.row.expand(given[0][0].shape[0], -1), 0
        for item_input in self.inputs:
            read: dict[str, Tensor] = {}
            for name, part in item_input.named_modules():
                if isinstance(part, ContentVectors):
                    # Every input of the head reads the content types in the model's order, so the next one
                    # met reads the next type, and starts over with the next input.
                    vectors, absent = scaled[met % len(scaled)]
                    prefix = f"{name}." if name else ""
                    read |= {f"{prefix}content.features": vectors, f"{prefix}absent": absent}
                    met += 1
            # The items are numbered from 0 as they are given, and the model's tables are replaced by theirs.
            total = total + functional_call(item_input, read, torch.arange(total.shape[0]))
        return total, self.bias.expand(total.shape[0])


def _without_tables(item_input: nn.Module) -> nn.Module:
    """A copy of an input without the content of the N known items: it may be gigabytes and is not read."""
    parts = [part for part in item_input.modules() if isinstance(part, ContentVectors)]
    tables = [table for part in parts for table in (*part.content.buffers(), part.absent)]
    return copy.deepcopy(item_input, {id(table): torch.zeros_like(table[:1]) for table in tables})


class NeighbourSide(nn.Module):
    """Content-KNN: centred vectors of length 1, side by side."""

    def __init__(self, scalings: Sequence[ContentScaling]) -> None:
        super().__init__()
        self.scalings = nn.ModuleList(scalings)

    def forward(self, given: Given) -> tuple[Tensor, Tensor]:
        """Vectors (K, Σ C_m) and no biases, (K,)."""
        types = [
            F.normalize(cast(ContentScaling, scaling).centred(vectors, present))
            for scaling, (vectors, present) in zip(self.scalings, given, strict=True)
        ]
        # √T in both factors makes the inner product the mean of T cosines, as in `ContentKNN`.
        vectors = torch.cat(types, dim=1) / len(types) ** 0.5
        return vectors, torch.zeros_like(vectors[:, 0])


class AverageSide(nn.Module):
    """A part that knows items by their actions alone: every new item gets the mean of the known ones."""

    vector: Tensor
    bias: Tensor

    def __init__(self, model: VectorRecommender, warm: Tensor) -> None:
        super().__init__()
        vectors, bias = model.items()
        self.register_buffer("vector", vectors.detach()[warm].mean(dim=0))
        self.register_buffer("bias", bias.detach()[warm].mean())

    def forward(self, given: Given) -> tuple[Tensor, Tensor]:
        """The same vector (K, D) and bias (K,) for all."""
        count = given[0][0].shape[0]
        return self.vector.expand(count, -1), self.bias.expand(count)


class BlendSide(nn.Module):
    """The parts' sides with the weights of the rarest items; `reads` are the types that each part reads."""

    def __init__(
        self, model: VectorBlend, sides: Sequence[nn.Module], reads: Sequence[Sequence[int]]
    ) -> None:
        super().__init__()
        self.sides = nn.ModuleList(sides)
        self.reads = [list(own) for own in reads]
        self._blend = (model,)  # in a tuple, so that its parts do not go with the graph

    def forward(self, given: Given) -> tuple[Tensor, Tensor]:
        """Vectors (K, Σ D_m + M) and no biases, (K,)."""
        found = [
            side([given[m] for m in own] or given) for side, own in zip(self.sides, self.reads, strict=True)
        ]
        (model,) = self._blend
        # (K,): all are new, so all are of one class by popularity.
        classes = torch.full_like(found[0][1], model.class_of_new, dtype=torch.int64)
        return model.joined_items(found, classes)


def side_of(model: nn.Module, scalings: Sequence[ContentScaling], warm: Tensor) -> nn.Module:
    """The side of one model that is no blend; `scalings` are of the content types that it reads."""
    if isinstance(model, ContentKNN):
        return NeighbourSide(scalings)
    if isinstance(model, SequenceRecommender) and model.ranks_cold_items:
        return HeadSide(model, scalings, warm)
    return AverageSide(cast(VectorRecommender, model), warm)
