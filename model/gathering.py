"""One batch over several processes: N ranks with B/N samples have the loss and the gradients of one with B.

Each process computes a share of every term of the loss, and the shares add up to the term. Means are over
what all processes have. Contrasts are over everybody's states, gathered with gradient: every process computes
the whole contrast, which is small beside the rest, and an even share of it counts. With one process all of
this does nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..core.torchrun import current_world


class _Gathered(torch.autograd.Function):
    """All rows on the way forward; on the way back, what all processes ask of one's own rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        world = current_world()
        ctx.before, ctx.count = sum(world.row_counts(len(rows))[: world.rank]), len(rows)
        return world.gather(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = current_world().sum(gradients[0].clone(memory_format=torch.contiguous_format))
        return total[ctx.before : ctx.before + ctx.count]


def gathered(rows: Tensor) -> Tensor:
    """Everybody's rows, (B/N, …) -> (B, …), in the order of one process; states are float32 on the way."""
    world = current_world()
    if world.size == 1:
        return rows
    if not rows.is_floating_point():
        return world.gather(rows)
    everyone: Tensor = _Gathered.apply(rows.float())
    return everyone


def total_count(count: int) -> int:
    """The sum of the processes' counts: what a mean over everybody's values divides by."""
    world = current_world()
    return count if world.size == 1 else sum(world.row_counts(count))


def mean_share(values: Tensor) -> Tensor:
    """One's share of the mean over everybody's `values`, (P,)."""
    return values.sum() / total_count(len(values))


def even_share(term: Tensor) -> Tensor:
    """One's share of a term that every process has computed whole."""
    return term / current_world().size


def own_part(numbers: Tensor) -> Tensor:
    """The samples of a batch that this process takes; where there are few, it may get none."""
    world = current_world()
    return numbers.tensor_split(world.size)[world.rank]


def sum_gradients(model: nn.Module) -> None:
    """Add up the gradients over the processes, in one message; weights that are not trained have none."""
    world = current_world()
    if world.size == 1:
        return
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
    flat = world.sum(torch.cat([gradient.flatten() for gradient in gradients]))
    parts = torch.split(flat, [weight.numel() for weight in weights])
    for weight, part in zip(weights, parts, strict=True):
        weight.grad = part.view_as(weight)
