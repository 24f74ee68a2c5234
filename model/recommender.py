"""What every neural recommender can do, whatever is inside: the trainer and the ranking know no more.

Shapes: B batch, L steps, D width, N items.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from .batches import Batch

Losses = dict[str, Tensor]  # terms as they enter the sum, by name; the total is their sum


@runtime_checkable
class Recommender(Protocol):
    """A user's state and the items' vectors, compared by inner product."""

    length: int

    def encode(self, inputs: Tensor) -> Tensor:
        """Give the state after each window's last step: (B, L) left-padded -> (B, D)."""
        ...

    def items(self) -> tuple[Tensor, Tensor]:
        """Give the vectors (N, D) and biases (N,) of items 1…N: scores are `encode @ vectors.T + biases`."""
        ...


class NeuralRecommender(nn.Module):
    """A recommender that is trained by gradient: it also names the terms of its loss."""

    length: int

    def losses(self, batch: Batch) -> Losses:
        """Give the weighted terms of the loss on a batch; the trainer minimises their sum."""
        raise NotImplementedError  # pragma: no cover - every model has its own

    def encode(self, inputs: Tensor) -> Tensor:
        """Give the state after each window's last step: (B, L) left-padded -> (B, D)."""
        raise NotImplementedError  # pragma: no cover - every model has its own

    def items(self) -> tuple[Tensor, Tensor]:
        """Give the vectors (N, D) and biases (N,) of items 1…N."""
        raise NotImplementedError  # pragma: no cover - every model has its own


def parameter_count(model: Recommender) -> int:
    """How many numbers were learned."""
    return sum(p.numel() for p in model.parameters()) if isinstance(model, torch.nn.Module) else 0
