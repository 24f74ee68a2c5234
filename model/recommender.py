"""What every neural recommender can do, whatever is inside: the trainer and the ranking know no more.

Shapes: B batch, L steps, D width, N items.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .batches import Batch
from .heads import ItemHead

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
    """A recommender that is trained by gradient: states at every step, compared with one table of items."""

    head: ItemHead

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def states(self, inputs: Tensor) -> Tensor:
        """Give the state after every step: (B, L) left-padded -> (B, L, D); padding steps hold anything."""
        raise NotImplementedError  # pragma: no cover - every model has its own

    def losses(self, batch: Batch) -> Losses:
        """Give the weighted terms of the loss on a batch, here the cross-entropy at every real step."""
        real = batch.real
        return {"ce": self.head(self.states(batch.inputs)[real], batch.targets[real])}

    def encode(self, inputs: Tensor) -> Tensor:
        """Give the state after the last step: (B, any) -> (B, D).

        The window is cut or padded on the left to the model's L, so further padding changes no bit.
        """
        return self.states(F.pad(inputs, (self.length - inputs.shape[1], 0)))[:, -1]

    def items(self) -> tuple[Tensor, Tensor]:
        """Give the head's vectors (N, D) and biases (N,)."""
        return self.head.weight, self.head.bias


def parameter_count(model: Recommender) -> int:
    """How many numbers were learned."""
    return sum(p.numel() for p in model.parameters()) if isinstance(model, torch.nn.Module) else 0
