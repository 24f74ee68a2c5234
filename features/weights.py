"""Model weights from files, and the hash by which a store knows them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from ..core.errors import UsageError
from ..core.words import first_few


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict from a .safetensors or a PyTorch file, without running any code from it.

    Raises UsageError where the file holds anything else.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - the readers raise many kinds for a file that is not theirs
        why = str(error).splitlines()[0]
        if "weights_only" in str(error):  # torch's advice is to let the file run code
            why = "it holds more than tensors, or is damaged; save model.state_dict() alone"
        raise UsageError(f"--weights {path}: no readable state dict ({why})") from None
    if not isinstance(content, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in content.values()
    ):
        raise UsageError(f"--weights {path}: holds more than a state dict; save model.state_dict() alone")
    return dict(content)


def load_weights(module: torch.nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Load `state` strictly; raises UsageError that names what does not fit."""
    own = module.state_dict()
    problems = [f"lacks {name}" for name in own if name not in state]
    problems += [f"has the unknown {name}" for name in state if name not in own]
    problems += [
        f"{name} is {tuple(value.shape)}, not {tuple(own[name].shape)}"
        for name, value in state.items()
        if name in own and value.shape != own[name].shape
    ]
    if problems:
        raise UsageError(f"--weights {path}: not for this --encoder: {first_few(problems, separator='; ')}")
    module.load_state_dict(state)


def hash_weights(module: torch.nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of a module's state dict, whatever file it came from."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
