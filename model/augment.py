"""Altered views of windows for contrastive learning: crop, mask, reorder (CL4SRec, section 3.2).

All work on whole batches of left-padded windows and return new tensors; shares are of the real steps,
rounded down, and a crop keeps at least one.

Shapes: B batch, L steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.schema import PADDING


def crop(inputs: Tensor, share: float) -> Tensor:
    """Keep one stretch of each window, wherever it lies, left-padded again: (B, L) -> (B, L)."""
    count, place = _counts_and_places(inputs)
    # Example: a share of .7 of the three steps in 0 0 4 9 2 is two steps. From start 0 on they are 4 9,
    # which makes the view 0 0 0 4 9.
    kept = (count * share).long().clamp_min(1)
    start = _random_start(count - kept)
    length = inputs.shape[1]
    source = length - count + start + place - (count - kept)  # the newest kept step ends up last
    real = place >= count - kept
    return inputs.gather(1, source.clamp(0, length - 1)).where(real & (count > 0), PADDING)


def mask(inputs: Tensor, share: float, token: int) -> Tensor:
    """Put `token` in place of some random steps: (B, L) -> (B, L)."""
    count, place = _counts_and_places(inputs)
    lot = torch.rand(inputs.shape, device=inputs.device).where(place >= 0, 2.0)  # padding is drawn last
    # Sorting the order of the lots gives each step's rank among them: lots .9 .1 .5 have the ranks 2 0 1.
    rank = lot.argsort(dim=1).argsort(dim=1)
    return inputs.where(rank >= (count * share).long(), token)


def reorder(inputs: Tensor, share: float) -> Tensor:
    """Shuffle one stretch of each window: (B, L) -> (B, L)."""
    count, place = _counts_and_places(inputs)
    shuffled = (count * share).long()
    start = _random_start(count - shuffled)
    inside = (place >= start) & (place < start + shuffled)
    # Steps outside the stretch keep their place as a number to sort by. Those inside draw one between the
    # places before and behind the stretch, so they change places among themselves alone.
    lot = start + shuffled * torch.rand(inputs.shape, device=inputs.device)
    order = lot.where(inside, place.to(lot.dtype)).argsort(dim=1, stable=True)
    return inputs.gather(1, order)


def _counts_and_places(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """How many real steps each window has, (B, 1), and each step's place among them, (B, L); padding < 0."""
    count = (inputs != PADDING).sum(dim=1, keepdim=True)
    steps = torch.arange(inputs.shape[1], device=inputs.device)
    return count, steps - (inputs.shape[1] - count)


def _random_start(last: Tensor) -> Tensor:
    """A random whole number in 0…last, (B, 1)."""
    return (torch.rand(last.shape, device=last.device) * (last + 1)).long().minimum(last)
