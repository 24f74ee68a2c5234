"""Weights and training state as safetensors with JSON beside the tensors: no pickle, whole or absent."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..core.artifacts import atomic_path, parse_json
from ..core.errors import ArtifactError, UsageError, system_code
from ..core.torchrun import current_world
from .content import trained_contents
from .random_state import random_states

MODEL_FILE = "model.safetensors"
CHECKPOINT_FILE = "checkpoint.safetensors"
MISSING = ".missing"  # how the name of the learned vector for items without content ends
# In the names of a trained encoder's weights, and of the numbers that its vectors are scaled by.
OF_ENCODERS = (".content.encoder.", ".content.scaling.")


@dataclass
class TrainState:
    """Where training stands; with weights, optimizer and random state it is all that a resumed run needs."""

    step: int = 0
    best: float = -1.0
    best_step: int = 0
    validations_without_gain: int = 0
    last_validated: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], record: dict[str, Any]) -> None:
    """Write tensors by name and a record beside them, whole or not at all."""
    with atomic_path(path) as temporary:
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        # A file made in the ordinary way has the permissions that new files get
        # here; they are put back below.
        temporary.touch()
        mode = temporary.stat().st_mode & 0o777
        try:
            save_file(contiguous, temporary, metadata={"record": json.dumps(record, sort_keys=True)})
        except SafetensorError as error:  # which is no OSError, whatever the system said
            code = system_code(error)
            if code is None:
                raise
            raise OSError(code, os.strerror(code), str(path)) from None
        temporary.chmod(mode)  # safetensors lets nobody else read its files


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote. Raises ArtifactError where the file is missing or damaged."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return tensors, parse_json((file.metadata() or {})["record"])
    except FileNotFoundError:  # which is also what safetensors says where the file may not be read
        if path.exists():
            raise ArtifactError(f"{path} may not be read; ask its owner for the permission") from None
        raise ArtifactError(f"{path} is missing; train again with --force") from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); delete its folder and train again") from None


def save_model(path: Path, model: nn.Module, record: dict[str, Any]) -> None:
    """Write a model's weights; content features are not among them, they stay in the feature store."""
    write_tensors(path, model.state_dict(), record)


def load_model(path: Path, model: nn.Module) -> dict[str, Any]:
    """Fill `model` with the weights at `path` and return the record saved with them.

    Where `model` reads vectors that a trained encoder left, the encoder's weights are passed over.
    Raises ArtifactError where the file is missing, damaged, or of a model with other sizes.
    """
    tensors, record = read_tensors(path)
    own = model.state_dict()
    # What stands for missing content goes unused once every item has some.
    tensors = {name: tensor for name, tensor in tensors.items() if name in own or not name.endswith(MISSING)}
    if not trained_contents(model):
        tensors = _without_encoders(tensors)
    _fill(path, model, tensors)
    return record


def start_from(path: Path, model: nn.Module, option: str) -> None:
    """Give `model` the weights at `path`, of the same model on vectors that its encoders gave untrained.

    What was learned for items without content is taken where both have it: either may lack it, where all
    items have content. Raises UsageError that begins with `option` where they do not fit.
    """
    tensors, _ = read_tensors(path)
    own = _without_encoders(model.state_dict())
    for name in sorted(own | tensors):
        if name.endswith(MISSING) and not (name in own and name in tensors):
            tensors.pop(name, None)
            continue
        there, here = (part[name].shape if name in part else None for part in (tensors, own))
        if there != here:
            raise UsageError(
                f"{option}: {name} is {_size(there)} there and {_size(here)} here; start from a run of the "
                "same model, settings and data set on features of the same encoder"
            )
    model.load_state_dict(tensors, strict=False)


def _without_encoders(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not any(of in name for of in OF_ENCODERS)}


def _size(shape: torch.Size | None) -> str:
    return "absent" if shape is None else str(tuple(shape))


def _fill(path: Path, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(wanted | found):
        if wanted.get(name) != found.get(name):
            raise ArtifactError(
                f"{path} does not fit: {name} is {found.get(name, 'absent')} there and "
                f"{wanted.get(name, 'absent')} in this model; it was trained on another data set, by another "
                "version or with other settings, so train again"
            )
    model.load_state_dict(tensors, strict=False)  # frozen weights of an encoder are in no file of a run


def save_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: TrainState
) -> None:
    """Write everything a killed run needs to go on to the same numbers.

    Under torchrun the main process writes. Weights and optimizer are equal everywhere, random states are
    each process's own.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in slots.items()}
    for number, content in enumerate(trained_contents(model)):
        tensors |= {f"content.{number}.{name}": each for name, each in content.state_of_epoch().items()}
    world = current_world()
    for kind, own in random_states(_device(model)).items():
        tensors |= {_random_name(kind, rank): each for rank, each in enumerate(world.gather(own[None]))}
    if world.is_main:
        write_tensors(path, tensors, asdict(state))


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _random_name(kind: str, rank: int) -> str:
    return f"random.{kind}.{rank}" if rank else f"random.{kind}"


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainState:
    """Restore weights, optimizer and random state; returns where training stood.

    A process that was not there when the checkpoint was written keeps its random state.
    """
    tensors, record = read_tensors(path)
    _fill(
        path,
        model,
        {
            name.removeprefix("model."): tensor
            for name, tensor in tensors.items()
            if name.startswith("model.")
        },
    )
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, slot = name.split(".")
            slots.setdefault(int(index), {})[slot] = tensor
    # Groups with their learning rates are those of this run's settings; only what Adam has gathered is read.
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    for weight, own in optimizer.state.items():  # fused steps want them laid out in memory as the weight is
        own.update({name: torch.empty_like(weight).copy_(slot) for name, slot in own.items() if slot.ndim})
    for number, content in enumerate(trained_contents(model)):
        if f"content.{number}.table" in tensors:
            content.restore_epoch(tensors[f"content.{number}.table"], tensors[f"content.{number}.epoch"])
    names = {kind: _random_name(kind, current_world().rank) for kind in ("cpu", "cuda")}
    if names["cpu"] in tensors:
        torch.set_rng_state(tensors[names["cpu"]])
    if names["cuda"] in tensors and _device(model).type == "cuda":
        torch.cuda.set_rng_state(tensors[names["cuda"]], _device(model))
    try:
        return TrainState(**record)
    except TypeError as error:
        raise ArtifactError(
            f"{path} was written by another version ({error}); delete it and train again"
        ) from None
