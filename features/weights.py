"""Model weights from files, and the hash by which a store knows them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

import safetensors
import safetensors.torch
import torch

from ..core.errors import UsageError
from ..core.progress import note
from ..core.words import first_few, reason_of

_WRAPPERS = ("state_dict", "model_state_dict", "model")  # under which training scripts save a state dict
_PREFIX = "module."  # what DataParallel and DistributedDataParallel put before every name
_COUNTER = ".num_batches_tracked"  # of BatchNorm; no result depends on it, and older files have none


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict from a .safetensors or a PyTorch file, without running any code from it.

    A state dict inside {"state_dict": …}, with `module.` before its names, or in half precision is accepted
    with a note. Raises UsageError where the file holds anything else.
    """
    try:
        if path.suffix == ".safetensors":
            content: object = safetensors.torch.load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - the readers raise many kinds for a file that is not theirs
        why = "the file is empty" if path.stat().st_size == 0 else reason_of(error)
        if "weights_only" in str(error):  # torch's advice is to let the file run code
            why = "it holds more than tensors, or is damaged; save model.state_dict() alone"
        raise UsageError(f"--weights {path}: no readable state dict ({why})") from None
    told = []
    if isinstance(content, Mapping):
        inner = next((name for name in _WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if inner is not None:
            content = content[inner]
            told.append(f"the state dict under {inner!r}")
    if not _is_state_dict(content):
        raise UsageError(f"--weights {path}: holds more than a state dict; save model.state_dict() alone")
    state = dict(content)
    if all(name.startswith(_PREFIX) for name in state):
        state = {name.removeprefix(_PREFIX): value for name, value in state.items()}
        told.append(f"names without {_PREFIX!r}")
    if any(value.dtype in (torch.float16, torch.bfloat16) for value in state.values()):
        state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
        told.append("half precision as float32")
    if told:
        note(f"--weights {path}: read {', '.join(told)}")
    return state


def _is_state_dict(content: object) -> TypeGuard[Mapping[str, torch.Tensor]]:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items())
    )


def load_weights(module: torch.nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Load `state` strictly but for BatchNorm's counters; raises UsageError that names what does not fit."""
    own = module.state_dict()
    problems = [f"lacks {name}" for name in own if name not in state and not name.endswith(_COUNTER)]
    problems += [f"has the unknown {name}" for name in state if name not in own]
    problems += [
        f"{name} is {tuple(value.shape)}, not {tuple(own[name].shape)}"
        for name, value in state.items()
        if name in own and value.shape != own[name].shape
    ]
    if problems:
        raise UsageError(f"--weights {path}: not for this --encoder: {first_few(problems, separator='; ')}")
    module.load_state_dict(own | state)


def hash_weights(module: torch.nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of a module's state dict, whatever file it came from."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
