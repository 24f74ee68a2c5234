"""What a training step is computed in: bfloat16 matrix products where they pay, float32 for the rest.

On a GPU a GRU is part of the rest. Weights, their gradients and the optimizer stay float32, so no loss
scaling is needed.
"""

from __future__ import annotations

import torch
from torch import Tensor


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device itself multiplies bfloat16, so that it is faster there than float32."""
    if device.type == "cuda":
        # NVIDIA's GPUs have it from compute capability 8 on (Ampere, 2020); AMD's
        # (HIP) are all taken to have it.
        return torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] >= 8
    processor = torch.cpu.get_capabilities()
    return device.type == "cpu" and bool(processor.get("avx512_bf16") or processor.get("amx_bf16"))


def chosen_precision(precision: str, device: torch.device) -> str:
    """float32 or bfloat16; `auto` is bfloat16 where the device has it, else float32."""
    if precision != "auto":
        return precision
    return "bfloat16" if has_bfloat16(device) else "float32"


def training_autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context of a step's forward pass."""
    enabled = chosen_precision(precision, device) == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def in_float32(device: torch.device) -> torch.autocast:
    """The context of what needs float32 within a step."""
    return torch.autocast(device.type, enabled=False)


def product_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype that autocast would choose for a product with `tensor`, for code that autocast leaves out."""
    device = tensor.device.type
    # Autocast casts no product that is told where to write its result (`out=`, in-place), but still
    # says what it casts others to.
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tensor.dtype
