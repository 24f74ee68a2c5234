"""Which steps of a batch of left-padded windows are real, so that little is computed on padding.

Most histories are shorter than L: with L = 50, five sixths of Amazon's steps are padding. So the layers that
treat each step by itself (linear layers, norms, feed-forward) are given the P real steps only, (P, D); only
attention, a small share of the work, gets whole windows, (B, L, D).

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
    """Which step attends to which: to itself and the real steps before it. (B, L) -> (B, 1, L, L) bool.

    Also padding attends to itself, because a softmax over nothing would be NaN.
    """
    length = real.shape[1]
    past = torch.ones(length, length, dtype=torch.bool, device=real.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=real.device)
    # Rows are the steps that read, columns the steps that are read. The window 0 5 7 has the rows 1 0 0
    # (padding, itself alone), 0 1 0 and 0 1 1. The axis of size 1 stands for the heads.
    return ((past & real[:, None, :]) | itself)[:, None]


@dataclass(frozen=True)
class RealSteps:
    """The real steps of B windows.

    The P rows are read from the `sources`, (P,) among the B x L steps, and written back to the `places`. The
    filler rows at the end are read from the last real step and written to row B x L, which is then cut off.
    `mask`, (B, 1, L, L), is `causal_mask`.
    """

    sources: Tensor
    places: Tensor
    mask: Tensor

    @classmethod
    def of(cls, inputs: Tensor) -> RealSteps:
        """Find the real steps of windows of items, (B, L)."""
        real = inputs != PADDING
        if torch.compiler.is_exporting():
            # An exported graph has fixed shapes, and P differs from batch to batch. So all B x L rows are
            # computed, and those of padding are written to row B x L, which is cut off.
            every = torch.arange(real.numel(), device=inputs.device)
            return cls(every, every.where(real.flatten(), real.numel()), causal_mask(real))
        # Step l of window b has the number b L + l. Example: in the windows 0 5 7 and 0 0 4 the real steps
        # have the numbers 1, 2 and 5.
        steps = real.flatten().nonzero().squeeze(1)
        more = filler(len(steps))
        sources = torch.cat([steps, steps[-1:].expand(more)])
        places = torch.cat([steps, steps.new_full((more,), real.numel())])
        return cls(sources, places, causal_mask(real))

    @classmethod
    def all_of(cls, inputs: Tensor) -> RealSteps:
        """Take all steps of windows (B, L) as real, also padding, which attends to itself alone.

        No real step attends to padding. This is for `--user-mean all`, which averages over whole windows.
        """
        steps = torch.arange(inputs.numel(), device=inputs.device)
        return cls(steps, steps, causal_mask(inputs != PADDING))

    @property
    def shape(self) -> tuple[int, int]:
        """B and L."""
        return self.mask.shape[0], self.mask.shape[2]

    def newest(self) -> tuple[Tensor, Tensor]:
        """Which of the P rows is each window's last step, (B,), and whether that step is real, (B,).

        The last step is padding only where the whole window is, for a user without a history.
        """
        batch, length = self.shape
        # The last step of window b has the number (b + 1) L - 1. Example: with L = 3 those are 2, 5, …
        last = torch.arange(1, batch + 1, device=self.places.device) * length - 1
        # The places ascend, because rows are in the order of windows and steps, with the filler at the end.
        rows = torch.searchsorted(self.places, last).clamp(max=len(self.places) - 1)
        # For a window of padding alone the search finds another step, so what it found is compared.
        return rows, self.places[rows] == last

    def packed(self, states: Tensor) -> Tensor:
        """(B, L, D) -> (P, D)."""
        return states.flatten(0, 1).index_select(0, self.sources)

    def padded(self, states: Tensor) -> Tensor:
        """(P, D) -> (B, L, D), zeros on padding."""
        (batch, length), width = self.shape, states.shape[1]
        # One row more than there are steps. The filler is written there and cut off.
        rows = states.new_zeros(batch * length + 1, width).index_copy_(0, self.places, states)
        return rows[:-1].view(batch, length, width)
