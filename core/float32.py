"""Products of float32 numbers in float32, whatever the process as a whole allows.

`torch.set_float32_matmul_precision("medium")`, or one of torch's `fp32_precision` switches, lets a matrix
product round its float32 inputs: to TF32 on a GPU, to bfloat16 on a processor with AMX. A score of 10.03 may
then come out as 10.06, which is more than many neighbours in a ranking differ by. So whoever promises float32
computes inside `full_float32()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter

GPU_GRU = "cudnn.rnn"

# Places under torch.backends; each has a switch of its own, which wins over the wider ones above it.
_SWITCHES = ("cuda.matmul", "cudnn.conv", GPU_GRU, "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")


@contextmanager
def full_float32(*, gpu_gru: bool = True) -> Iterator[None]:
    """Let no product round its float32 inputs; the switches stand as before at the end.

    Also a decorator. With `gpu_gru` False a GRU on a GPU keeps what it has, which is cuDNN's TF32. Numbers
    under autocast are bfloat16 already and stay so. The switches are the process's: while one thread is in
    here, all its threads compute in float32.
    """
    import torch

    switches = [attrgetter(name)(torch.backends) for name in _SWITCHES if gpu_gru or name != GPU_GRU]
    before = [switch.fp32_precision for switch in switches]
    for switch in switches:
        switch.fp32_precision = "ieee"
    try:
        yield
    finally:
        for switch, precision in zip(switches, before, strict=True):
            switch.fp32_precision = precision
