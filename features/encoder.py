"""What every encoder is: a way to prepare content and a module that turns a batch of it into vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Inputs = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class ContentEncoder:
    """What turns pictures or texts into vectors, frozen and in evaluation mode.

    `prepare` turns one content (bytes of a picture, or a text) into an array and runs in worker processes;
    `module` takes a batch of them and returns (B, dimension). `key` says all that decides the vectors:
    architecture, hash of the weights, preparation and its version, pooling.

    Encoders proper give "vectors" in whatever number format the store has; "pixels" and "tokens" have their
    own `dtype`, and a row of theirs is an array of `shape`, flattened.
    """

    name: str
    dimension: int
    key: dict[str, Any]
    prepare: Callable[..., Any]
    module: nn.Module
    kind: str = "vectors"
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
