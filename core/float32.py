"""Matrix products of float32 numbers computed in full float32, whatever the process-wide setting is.

`torch.set_float32_matmul_precision("medium")`, or one of torch's `fp32_precision` switches, lets a matrix
product round its float32 inputs: to TF32 on a GPU, to bfloat16 on a processor with AMX. A score of 10.03 may
then come out as 10.06, which is more than many neighbours in a ranking differ by. So whoever promises float32
computes inside `full_float32()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from threading import Lock

GPU_GRU = "cudnn.rnn"

# Places under torch.backends; each has a switch of its own, which wins over the wider ones above it.
_SWITCHES = ("cuda.matmul", "cudnn.conv", GPU_GRU, "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")


# Of each switch that is held: how many contexts hold it, and how it stood before the first of them.
_held: dict[str, tuple[int, str]] = {}
_lock = Lock()


@contextmanager
def full_float32(*, gpu_gru: bool = True) -> Iterator[None]:
    """Let no product round its float32 inputs; the switches stand as before at the end.

    Also a decorator. With `gpu_gru` False a GRU on a GPU keeps its setting, by default cuDNN's TF32. Under
    autocast the inputs are bfloat16 already, so this changes nothing. The switches belong to the process:
    while one thread is inside, all threads compute in float32, and the last one to leave puts them back.
    """
    names = [name for name in _SWITCHES if gpu_gru or name != GPU_GRU]
    for name in names:
        _hold(name)
    try:
        yield
    finally:
        for name in names:
            _release(name)


def _hold(name: str) -> None:
    import torch

    switch = attrgetter(name)(torch.backends)
    with _lock:
        holders, before = _held.get(name, (0, switch.fp32_precision))
        _held[name] = (holders + 1, before)
        switch.fp32_precision = "ieee"


def _release(name: str) -> None:
    import torch

    with _lock:
        holders, before = _held.pop(name)
        if holders > 1:
            _held[name] = (holders - 1, before)
        else:
            attrgetter(name)(torch.backends).fp32_precision = before


@contextmanager
def traceable() -> Iterator[None]:
    """Let torch.export trace a module; the switches stand as before at the end.

    It reads `torch.backends.cudnn.allow_tf32`, which is an error once newer switches have set convolutions
    and GRUs differently. While tracing, nothing is computed on a GPU, so both may stand alike.
    """
    import torch

    try:
        _ = torch.backends.cudnn.allow_tf32
    except RuntimeError:
        switches = [attrgetter(name)(torch.backends) for name in ("cudnn.conv", GPU_GRU)]
        before = [switch.fp32_precision for switch in switches]
        torch.backends.cudnn.allow_tf32 = True  # which sets both
        try:
            yield
        finally:
            for switch, precision in zip(switches, before, strict=True):
                switch.fp32_precision = precision
    else:
        yield
