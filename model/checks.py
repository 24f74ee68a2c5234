"""Stopping a run whose loss or weights are no longer finite, with what a person needs to see why."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ..core.errors import DivergedError
from ..core.torchrun import current_world
from .checkpoint import CHECKPOINT_FILE
from .content import trained_contents
from .recommender import Losses


def summed_losses(recent: list[Losses], step: int, model: nn.Module, folder: Path) -> dict[str, float]:
    """The sum of each term over the steps up to `step`; raises DivergedError where one is not finite.

    `recent` has this process's contributions to the terms of each step. Every process gets the same sums, or
    the error.
    """
    # (steps, terms). One copy from the device for all of them; each single `float(loss)` would wait for it.
    own = torch.stack([torch.stack(list(losses.values())) for losses in recent]).double().cpu()
    values = current_world().sum(own)
    bad = (~values.isfinite()).any(dim=1).nonzero()
    if len(bad):
        first = int(bad[0])
        # `recent` ends with `step`. Example: of 25 losses up to step 100, the first is that of step 76.
        at = step - len(recent) + first + 1
        terms = dict(zip(recent[first], values[first], strict=True))
        raise _not_finite(f"the loss is not finite at step {at}", terms, model, folder)
    return dict(zip(recent[0], values.sum(dim=0).tolist(), strict=True))


def check_weights(recent: list[Losses], step: int, model: nn.Module, folder: Path) -> None:
    """Raise DivergedError where a weight is NaN or infinite, before it reaches validation or a checkpoint.

    The loss of the step may be finite all the same: it was computed before its gradient changed the weights.
    """
    if not all(bool(p.isfinite().all()) for p in model.parameters()):
        raise _not_finite(f"the weights are not finite after step {step}", recent[-1], model, folder)


def _not_finite(what: str, losses: Losses, model: nn.Module, folder: Path) -> DivergedError:
    terms = ", ".join(f"{name} {float(term):g}" for name, term in losses.items())
    norms = ", ".join(f"{name} {norm:.3g}" for name, norm in _largest_norms(model))
    kept = f". The last good checkpoint is kept in {folder}" if (folder / CHECKPOINT_FILE).exists() else ""
    cure = "lower --learning-rate or raise the temperatures"
    if trained_contents(model):
        cure = "lower --encoder-lr or --learning-rate, or raise the temperatures"
    return DivergedError(f"{what} ({terms}; largest weights now: {norms}); {cure}{kept}")


def _largest_norms(model: nn.Module) -> list[tuple[str, float]]:
    norms = [(name, float(p.detach().float().norm())) for name, p in model.named_parameters()]
    return sorted(norms, key=lambda entry: -entry[1] if entry[1] == entry[1] else float("-inf"))[:3]
