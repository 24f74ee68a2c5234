"""Where models and encoders run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import UsageError
from .torchrun import local_gpu, process_count

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:N` into a device; raises UsageError where there is no such one.

    `auto` is a GPU where there is one; under torchrun, `auto` and `cuda` are this process's own, and no other
    is taken, because processes cannot exchange tensors that lie on one GPU.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(f"cuda:{local_gpu()}" if name == "cuda" else name)
    except RuntimeError:
        raise UsageError(f"--device {name}: use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {name}: torch sees {torch.cuda.device_count()} GPUs; use --device cpu")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {name}: use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and process_count() > 1:
        if device.index != local_gpu():
            raise UsageError(
                f"--device {name}: under torchrun each process has its own GPU; use --device cuda"
            )
        # Torch sets some things up on the current GPU, which is the first one unless told. Memory that copies
        # to a GPU begin from (pinned memory) is one: half a gigabyte of the first GPU, for each process.
        torch.cuda.set_device(device)
    return device
