"""Distributed batches: N processes with B/N samples each get the loss and gradients of one process with B.

Each process computes its contribution to every term of the loss, and the contributions add up to the term.
For a mean, a process adds up its own values and divides by the number of values of all processes: with the
values 1, 2 on one and 6 on the other, the contributions are 3/3 and 6/3, and the mean is 3. A contrast needs
the states of all processes as negatives; these are gathered with their gradient, every process computes the
whole contrast, which is cheap, and counts 1/N of it. With one process none of this changes anything.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..core.torchrun import current_world


class _Gathered(torch.autograd.Function):
    """Forward: the rows of all processes. Backward: the gradients of this process's rows, summed over all."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        world = current_world()
        # How many rows processes of smaller rank have: this one's rows begin there.
        ctx.before, ctx.count = sum(world.row_counts(len(rows))[: world.rank]), len(rows)
        return world.gather(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Each process has the gradient of its contribution with respect to all B rows. The gradient of the
        # whole loss is their sum, and this process goes on with the part of its own rows.
        total = current_world().sum(gradients[0].clone(memory_format=torch.contiguous_format))
        return total[ctx.before : ctx.before + ctx.count]


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes, (B/N, …) -> (B, …), in the order that one process would have them.

    They are sent as float32.
    """
    world = current_world()
    if world.size == 1:
        return rows
    if not rows.is_floating_point():
        return world.gather(rows)
    everyone: Tensor = _Gathered.apply(rows.float())
    return everyone


def total_count(count: int) -> int:
    """The sum of the processes' counts: what a mean over the values of all processes divides by."""
    world = current_world()
    return count if world.size == 1 else sum(world.row_counts(count))


def contribution_to_mean(values: Tensor) -> Tensor:
    """What this process adds to the mean over the `values` of all processes, (P,) here."""
    return values.sum() / total_count(len(values))


def equal_contribution(term: Tensor) -> Tensor:
    """What this process adds, 1/N of it, to a term that every process has computed whole."""
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
    # A weight that this process's samples did not reach has no gradient here but may have one elsewhere; the
    # message must be equally long everywhere.
    gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
    flat = world.sum(torch.cat([gradient.flatten() for gradient in gradients]))
    parts = torch.split(flat, [weight.numel() for weight in weights])
    for weight, part in zip(weights, parts, strict=True):
        weight.grad = part.view_as(weight)
