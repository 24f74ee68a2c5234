"""Adapter files: the trained weights of an adapter, a few MB, for the encoder they were trained in.

`tssr train --end-to-end --adapter` writes such a file into the run's folder. It holds the trained weights by
name, the kind and width of the adapter, the part of the encoder it is in, and the hash of the encoder's own
weights. An encoder with other weights is refused, because there the adapter's weights would mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ..core.artifacts import parse_json, sha256_file
from ..core.errors import UsageError
from ..core.words import reason_of
from .adapters import adapted_part, adapter_weights
from .encoder import ContentEncoder
from .modality import AdapterKind
from .side_network import BesideEncoder, SideNetwork, side_network


@dataclass(frozen=True)
class AdapterRecord:
    """The description in an adapter file; `weights` is the hash of the encoder that it was trained in."""

    adapter: AdapterKind
    dim: int
    unfreeze: str
    weights: str

    def values(self) -> dict[str, Any]:
        """Plain JSON values, read back by `AdapterRecord(**values)`."""
        return dict(vars(self))


def part_with_adapter(encoder: ContentEncoder, record: AdapterRecord, seed: int) -> nn.Module:
    """The part of `encoder` that trains, with new adapters in it; or the side network beside it.

    Raises UsageError where the encoder has no layers that the adapter fits.
    """
    if record.adapter == "side":
        return side_network(encoder, record.dim, seed)
    return adapted_part(encoder.module, record.unfreeze, record.adapter, record.dim, seed)


def with_adapter(encoder: ContentEncoder, path: Path) -> ContentEncoder:
    """`encoder` with the adapter of the file put into it.

    Raises UsageError where the file is missing or no adapter, or belongs into another encoder.
    """
    tensors, record = _read(path)
    if record.weights != encoder.key["weights"]:
        raise UsageError(
            f"--adapter-weights {path}: it was trained in an encoder with other weights than {encoder.name} "
            "has here; give the --encoder, --weights and --seed that its run was trained with"
        )
    part = part_with_adapter(encoder, record, seed=0)
    own = adapter_weights(part)
    if {name: weight.shape for name, weight in own.items()} != {
        name: weight.shape for name, weight in tensors.items()
    }:
        raise UsageError(
            f"--adapter-weights {path}: its weights are not those of {record.adapter} in {encoder.name}; "
            "train the run again with this version"
        )
    with torch.no_grad():
        for name, weight in own.items():
            weight.copy_(tensors[name])
    whole = BesideEncoder(encoder.module, part) if isinstance(part, SideNetwork) else encoder.module
    return replace(
        encoder,
        name=f"{encoder.name}-{record.adapter}",
        key={**encoder.key, "adapter": sha256_file(path)},
        module=whole.requires_grad_(False).eval(),
    )


def _read(path: Path) -> tuple[dict[str, torch.Tensor], AdapterRecord]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            record = AdapterRecord(**parse_json((file.metadata() or {})["record"]))
            return {name: file.get_tensor(name) for name in file.keys()}, record  # noqa: SIM118 - no mapping
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise UsageError(
            f"--adapter-weights {path}: no adapter file ({reason_of(error)}); a run of tssr train "
            "--end-to-end --adapter has one in its folder"
        ) from None
