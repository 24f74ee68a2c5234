"""The interface of encoders: a function that prepares content, and a module from a batch to vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Inputs = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class ContentEncoder:
    """An encoder of pictures or texts, frozen and in evaluation mode.

    `prepare` turns one content (bytes of a picture, or a text) into an array and runs in worker processes;
    `module` takes a batch of them and returns (B, dimension). `key` lists everything that decides the
    vectors: architecture, hash of the weights, preparation and its version, pooling.

    The `kind` is "vectors" for a real encoder; the store then chooses the number format. Encoder inputs, such
    as "pixels" and "tokens", have a fixed `dtype`, and each row is an array of `shape`, flattened.
    """

    name: str
    dimension: int
    key: dict[str, Any]
    prepare: Callable[..., Any]
    module: nn.Module
    kind: str = "vectors"
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
