"""Which steps of a batch of left-padded windows are real, so that padding costs little.

L is chosen for long windows and most are short: with L = 50, Amazon's are five sixths padding. What a layer
does at every step alone it does at the P real steps; only attention, whose share is small, has padded ones.

Shapes: B batch, L steps, D width, P real steps of the batch in the order of windows and steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.schema import PADDING


def causal_mask(real: Tensor) -> Tensor:
    """Which step may look at which: real steps not after it, and always itself. (B, L) -> (B, 1, L, L)."""
    length = real.shape[1]
    past = torch.ones(length, length, dtype=torch.bool, device=real.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=real.device)
    return ((past & real[:, None, :]) | itself)[:, None]


@dataclass(frozen=True)
class RealSteps:
    """The real steps of B windows: their `places` in B x L, (P,), and who may look at whom, (B, 1, L, L)."""

    places: Tensor
    mask: Tensor

    @classmethod
    def of(cls, inputs: Tensor) -> RealSteps:
        """Of windows of items, (B, L)."""
        real = inputs != PADDING
        return cls(real.flatten().nonzero().squeeze(1), causal_mask(real))

    @property
    def shape(self) -> tuple[int, int]:
        """B and L."""
        return self.mask.shape[0], self.mask.shape[2]

    @property
    def whole(self) -> bool:
        """Whether no step is padding."""
        batch, length = self.shape
        return len(self.places) == batch * length

    def packed(self, states: Tensor) -> Tensor:
        """(B, L, D) -> (P, D)."""
        flat = states.flatten(0, 1)
        return flat if self.whole else flat.index_select(0, self.places)

    def padded(self, states: Tensor) -> Tensor:
        """(P, D) -> (B, L, D), zeros on padding."""
        (batch, length), width = self.shape, states.shape[1]
        if not self.whole:
            states = states.new_zeros(batch * length, width).index_copy(0, self.places, states)
        return states.view(batch, length, width)
