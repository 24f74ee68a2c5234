"""Torch's random state of a process: reading it, drawing as at an earlier time, and drawing apart from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_FILLS = {"normal_", "uniform_"}  # methods of tensors; functions of torch.nn.init pass a generator, or None


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


class DrawnApart(TorchFunctionMode):
    """Within the context, first weights of modules are drawn from a generator of its own, not the process's.

    It holds for the thread that enters it: while another thread trains and draws its dropout from the stream
    of the process, this one may build a model. The numbers are those after torch.manual_seed(seed).
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func`, with the generator where it draws and was given none."""
        given = dict(kwargs or {})
        if ("generator" in given or func.__name__ in _FILLS) and given.get("generator") is None:
            given["generator"] = self._generator
        return func(*args, **given)
