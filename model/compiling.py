"""torch.compile for the encoders, where the products of a step are many and small.

The softmax is not compiled: nearly all its time goes into three large matrix products. That the compiler is
missing, or cannot compile a model, shows only when a step runs, so one step is tried first.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..core.errors import TssrError
from ..core.progress import note
from ..core.torchrun import current_world
from .layers import Transformer

# Torch compiles a module again for each kind of call: for training and for evaluation, with and without
# contexts, for a fixed number of real steps and then for any. Its own limit is 8 compiled variants, and calls
# beyond that would run uncompiled.
VARIANTS = 64


def compile_encoders(model: nn.Module, try_step: Callable[[], object]) -> None:
    """Compile the transformers of `model` in place; where that fails, say so and leave them uncompiled.

    `try_step` runs a step forward and backward. Its random draws are undone, so training draws the same
    numbers with and without --compile.
    """
    encoders = [part for part in model.modules() if isinstance(part, Transformer)]
    if not encoders:
        note("--compile: this model has no transformer to compile, so it trains as it is")
        return
    torch._dynamo.config.recompile_limit = VARIANTS
    for encoder in encoders:
        encoder.compile()
    try:
        device = next(model.parameters()).device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            try_step()
    except torch._dynamo.exc.TorchDynamoException as error:
        if current_world().size > 1:
            # The others may have compiled theirs, and have gone on to the next exchange of the step.
            raise TssrError(
                f"--compile: torch.compile does not work here ({_reason(error)}); leave it out"
            ) from error
        for encoder in encoders:
            encoder._compiled_call_impl = None
        note(f"--compile: torch.compile does not work here, so it trains as it is ({_reason(error)})")


def _reason(error: Exception) -> str:
    """The first line of the compiler's own words, where it got so far."""
    cause = getattr(error, "inner_exception", error)
    return (str(cause).strip() or type(cause).__name__).splitlines()[0]
