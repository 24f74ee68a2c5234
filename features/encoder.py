"""What every encoder is: a way to prepare content and a module that turns a batch of it into vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .settings import EncoderChoice

Inputs = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Encoder:
    """An encoder of pictures or texts, frozen and in evaluation mode.

    `prepare` turns one content (bytes of a picture, or a text) into a tensor and runs in worker processes;
    `module` takes a batch of them and returns (B, dimension). `key` says all that decides the vectors:
    architecture, hash of the weights, preparation and its version, pooling.
    """

    name: str
    dimension: int
    key: dict[str, Any]
    prepare: Callable[..., Any]
    module: nn.Module


def load_encoder(choice: EncoderChoice) -> Encoder:
    """Build the encoder a person asked for; raises UsageError that says what to pass instead."""
    if choice.modality == "text":
        from .text_encoder import load_text_encoder

        return load_text_encoder(choice)
    from .torchvision_encoder import load_torchvision_encoder

    return load_torchvision_encoder(choice)
