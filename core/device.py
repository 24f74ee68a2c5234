"""Where models and encoders run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import UsageError
from .torchrun import local_gpu

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:N` into a device; raises UsageError where there is no such one.

    `auto` is a GPU where there is one; under torchrun, `auto` and `cuda` are this process's own.
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
    return device
