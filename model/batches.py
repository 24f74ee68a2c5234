"""Windows of histories, cut batch by batch from one flat array of items on the device.

Only the flat array and three numbers for each window are kept; padding is made when a batch is cut. Example:
with L = 5 the history 4 9 2 7 has the inputs 0 0 4 9 2 and the targets 0 0 9 2 7, where 0 is padding.

Shapes: B batch, L window length.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..core.dataset import Histories
from ..core.errors import DataError
from ..core.schema import PADDING


@dataclass(frozen=True)
class WindowBatch:
    """B windows of `users` (B,), left-padded with 0: `targets` are the items after `inputs`, (B, L) each."""

    inputs: Tensor
    targets: Tensor
    users: Tensor

    @property
    def real(self) -> Tensor:
        """Which steps hold an action and are no padding, (B, L) bool."""
        return self.inputs != PADDING

    @cached_property
    def positions(self) -> Tensor:
        """The numbers of the P real steps among the B x L, (P,).

        Kept once found: the CPU needs P as a number, so it waits until a GPU has done all its queued work.
        """
        return self.real.flatten().nonzero().squeeze(1)

    def at_positions(self, values: Tensor) -> Tensor:
        """Take the real steps: (B, L, …) -> (P, …)."""
        return values.flatten(0, 1).index_select(0, self.positions)


class Samples(Protocol):
    """What a model is trained on: `count` samples with `transitions` supervised positions in all."""

    count: int
    transitions: int

    def batch(self, numbers: Tensor) -> Any:
        """Give the samples with these numbers, (B,), as the model's `losses` take them."""
        ...


class Windows:
    """The windows of L transitions that a model is trained on.

    `last` cuts one window from each history, its newest L transitions, as the released TSSR code does;
    `all` cuts every history from its end into windows so that each action is a target exactly once.
    """

    def __init__(self, histories: Histories, length: int, which: str, device: torch.device) -> None:
        starts, ends = histories.starts, histories.ends
        # A history of n actions has n - 1 transitions from one to the next; none has less than 0.
        transitions = np.maximum(ends - starts - 1, 0)
        cuts = -(-transitions // length)  # windows of each history, rounded up
        if which == "last":
            cuts = np.minimum(cuts, 1)
        if cuts.sum() == 0:
            raise DataError(
                "no user has two training actions, so there is nothing to learn from; "
                "preprocess with --min-actions 4 or more, or a log with longer histories"
            )
        # The number of each window in its history, counted from the newest back. Example: histories of 2 and
        # 3 windows get 0 1 0 1 2.
        back = np.arange(cuts.sum()) - np.repeat(np.cumsum(cuts) - cuts, cuts)
        self.length = length
        self.count = int(cuts.sum())
        self.transitions = int(np.minimum(transitions, cuts * length).sum())
        self._items = torch.tensor(histories.items, device=device)  # a copy: the table is read-only
        self._starts = torch.from_numpy(np.repeat(starts, cuts)).to(device)
        # Where the newest target of each window stands: a history's last action, or L places earlier for each
        # window back. The inputs are the L places before it.
        self._lasts = torch.from_numpy(np.repeat(ends - 1, cuts) - back * length).to(device)
        self._users = torch.from_numpy(np.repeat(np.arange(len(cuts)), cuts)).to(device)
        self._steps = torch.arange(-length, 0, device=device)

    def batch(self, windows: Tensor) -> WindowBatch:
        """Cut the windows with these numbers, (B,), from the flat array."""
        places = self._lasts[windows, None] + self._steps  # (B, L), of the inputs
        # The oldest window of a history may begin before the history does. Places there hold another user's
        # items, or none: whatever is read is multiplied by 0, which is the padding.
        real = places >= self._starts[windows, None]
        places = places.clamp_(min=0)
        inputs = self._items[places].long() * real
        targets = self._items[places + 1].long() * real
        return WindowBatch(inputs, targets, self._users[windows])


@dataclass(frozen=True)
class ActionBatch:
    """B actions: who took what, (B,) each."""

    users: Tensor
    items: Tensor


class ActionSamples:
    """Every train action as a sample of its own, for models that ignore the order of actions (BPR-MF)."""

    def __init__(self, histories: Histories, device: torch.device) -> None:
        users = np.repeat(np.arange(len(histories)), histories.lengths)
        self.count = self.transitions = len(users)
        if self.count == 0:
            raise DataError("no user has a training action, so there is nothing to learn from")
        self._users = torch.from_numpy(users).to(device)
        self._items = torch.from_numpy(histories.flat().astype(np.int64)).to(device)

    def batch(self, numbers: Tensor) -> ActionBatch:
        """Give the actions with these numbers, (B,)."""
        return ActionBatch(self._users[numbers], self._items[numbers])


def newest(histories: Histories, low: int, high: int, length: int) -> Tensor:
    """The newest L items of histories low…high-1, left-padded with 0: (high - low, L) int64."""
    places = histories.ends[low:high, None] + np.arange(-length, 0)
    # Places before a history begins belong to another one, or are negative; they become padding.
    real = places >= histories.starts[low:high, None]
    items = np.where(real, histories.items[np.maximum(places, 0)], PADDING)
    return torch.from_numpy(items.astype(np.int64))
