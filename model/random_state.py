"""Torch's random state of a process: reading it, and drawing again as at an earlier time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


def random_states(device: torch.device) -> dict[str, Tensor]:
    """The states by kind of device: `cpu`, and `cuda` where the device is a GPU."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


@contextmanager
def drawing_as(random: Mapping[str, Tensor], device: torch.device) -> Iterator[None]:
    """Set the random state to an earlier one (`random`) within the context, and restore it afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.set_rng_state(random["cpu"])
        if "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"], device)
        yield
