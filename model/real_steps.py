"""Which steps of a batch of left-padded windows are real, so that padding costs little.

L is chosen for long windows and most are short: with L = 50, five sixths of Amazon are padding. What a block
does at every step alone it does at the P real steps; only attention, a small share, has padded windows.

Shapes: B batch, L steps, D width, P real steps of the batch in the order of windows and steps, with some
filler rows behind them, which nothing reads (see `shapes`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.schema import PADDING
from .shapes import filler


def causal_mask(real: Tensor) -> Tensor:
    """Which step may look at which: real steps not after it, and always itself. (B, L) -> (B, 1, L, L)."""
    length = real.shape[1]
    past = torch.ones(length, length, dtype=torch.bool, device=real.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=real.device)
    return ((past & real[:, None, :]) | itself)[:, None]


@dataclass(frozen=True)
class RealSteps:
    """The real steps of B windows.

    Rows (P,) are read at `sources` of B x L and written to `places`; filler repeats the last real step, which
    is harmless to read, and is written to a row of its own, B x L. `mask`, (B, 1, L, L), is who may look at
    whom.
    """

    sources: Tensor
    places: Tensor
    mask: Tensor

    @classmethod
    def of(cls, inputs: Tensor) -> RealSteps:
        """Of windows of items, (B, L)."""
        real = inputs != PADDING
        if torch.compiler.is_exporting():
            # A graph for batches of any kind cannot have the number of real steps as a shape: all B x L rows
            # are computed, and those of padding are written to the row that nothing reads.
            every = torch.arange(real.numel(), device=inputs.device)
            return cls(every, every.where(real.flatten(), real.numel()), causal_mask(real))
        steps = real.flatten().nonzero().squeeze(1)
        more = filler(len(steps))
        sources = torch.cat([steps, steps[-1:].expand(more)])
        places = torch.cat([steps, steps.new_full((more,), real.numel())])
        return cls(sources, places, causal_mask(real))

    @classmethod
    def all_of(cls, inputs: Tensor) -> RealSteps:
        """Padding taken for real: it sees itself alone, and no real step sees it. Of windows (B, L)."""
        steps = torch.arange(inputs.numel(), device=inputs.device)
        return cls(steps, steps, causal_mask(inputs != PADDING))

    @property
    def shape(self) -> tuple[int, int]:
        """B and L."""
        return self.mask.shape[0], self.mask.shape[2]

    def newest(self) -> tuple[Tensor, Tensor]:
        """Where among the P rows each window's last step stands, (B,), and whether it is a real one, (B,)."""
        batch, length = self.shape
        last = torch.arange(1, batch + 1, device=self.places.device) * length - 1
        # Places rise, from window to window and step to step, and filler stands behind them all.
        rows = torch.searchsorted(self.places, last).clamp(max=len(self.places) - 1)
        return rows, self.places[rows] == last

    def packed(self, states: Tensor) -> Tensor:
        """(B, L, D) -> (P, D)."""
        return states.flatten(0, 1).index_select(0, self.sources)

    def padded(self, states: Tensor) -> Tensor:
        """(P, D) -> (B, L, D), zeros on padding."""
        (batch, length), width = self.shape, states.shape[1]
        rows = states.new_zeros(batch * length + 1, width).index_copy_(0, self.places, states)
        return rows[:-1].view(batch, length, width)
