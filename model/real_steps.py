"""Which steps of a batch of left-padded windows are real, so that padding costs little.

L is chosen for long windows and most are short: with L = 50, five sixths of Amazon are padding. What a layer
does at every step alone it does at the P real steps; only attention, whose share is small, has padded ones.

Shapes: B batch, L steps, D width, P real steps of the batch in the order of windows and steps, and a few rows
more that nothing reads: P is a multiple of `ROWS`, so that batches have few shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.schema import PADDING
from .precision import ROWS


def causal_mask(real: Tensor) -> Tensor:
    """Which step may look at which: real steps not after it, and always itself. (B, L) -> (B, 1, L, L)."""
    length = real.shape[1]
    past = torch.ones(length, length, dtype=torch.bool, device=real.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=real.device)
    return ((past & real[:, None, :]) | itself)[:, None]


@dataclass(frozen=True)
class RealSteps:
    """The real steps of B windows, and who may look at whom: `mask` (B, 1, L, L).

    `places` (P,) are theirs in B x L, and B x L itself for the rows that nothing reads; None where all steps
    are real.
    """

    places: Tensor | None
    mask: Tensor

    @classmethod
    def of(cls, inputs: Tensor) -> RealSteps:
        """Of windows of items, (B, L)."""
        real = inputs != PADDING
        places = real.flatten().nonzero().squeeze(1)
        if len(places) == real.numel():
            return cls(None, causal_mask(real))
        return cls(F.pad(places, (0, -len(places) % ROWS), value=real.numel()), causal_mask(real))

    @property
    def shape(self) -> tuple[int, int]:
        """B and L."""
        return self.mask.shape[0], self.mask.shape[2]

    def packed(self, states: Tensor) -> Tensor:
        """(B, L, D) -> (P, D)."""
        flat = states.flatten(0, 1)
        return flat if self.places is None else flat.index_select(0, self.places.clamp_max(len(flat) - 1))

    def padded(self, states: Tensor) -> Tensor:
        """(P, D) -> (B, L, D), zeros on padding."""
        (batch, length), width = self.shape, states.shape[1]
        if self.places is not None:
            rows = states.new_zeros(batch * length + 1, width)
            states = rows.index_copy(0, self.places, states)[:-1]
        return states.view(batch, length, width)
