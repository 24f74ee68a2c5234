"""The frozen lower part of an encoder, whose outputs (activations) are stored like vectors.

While the lower part of an encoder stays frozen, its output for a picture or a text is the same at every
training step. Stored once, it need not be computed at each step. ResNet-50 up to layer3 gives 1024 x 14 x 14
numbers, 392 KiB a picture in float16; MiniLM's fourth block 30 x 384, 23 KiB a text.

Shapes: B batch, L tokens, D width.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import nn

from .encoder import ContentEncoder
from .encoder_stages import last_frozen, split_encoder, stage_names
from .modality import MODALITIES, EncoderChoice


class _FlatBoundary(nn.Module):
    """Flattens the lower part's output: a map (B, C, H, W), or states (B, L, D) padded to `tokens`."""

    def __init__(self, lower: nn.Module, tokens: int | None) -> None:
        super().__init__()
        self.lower = lower
        self.tokens = tokens

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Encode, pad and flatten."""
        activations: torch.Tensor = self.lower(*inputs)[0]
        if self.tokens is not None:
            # Rows of a store are equally long, so the states of a short text get zeros behind them:
            # (B, L, D) -> (B, tokens, D).
            activations = nn.functional.pad(activations, (0, 0, 0, self.tokens - activations.shape[1]))
        return activations.flatten(1)


def lower_part(encoder: ContentEncoder, choice: EncoderChoice) -> ContentEncoder:
    """The part of `encoder` that `choice.until` names. Raises UsageError where it cannot be split there."""
    frozen = last_frozen(encoder.module, str(choice.until))
    lower = split_encoder(encoder.module, frozen).lower.eval()
    modality = MODALITIES[choice.modality]
    with torch.no_grad():
        # The shape is that of the largest content, tried once: pictures have one
        # size, texts up to --max-tokens.
        shape = tuple(lower(*modality.largest(choice))[0].shape[1:])
    last = stage_names(encoder.module)[frozen - 1]
    return replace(
        encoder,
        name=f"{encoder.name}-until-{last}",
        dimension=math.prod(shape),
        key={**encoder.key, "until": last},
        module=_FlatBoundary(lower, shape[0] if modality.sequences else None).eval(),
        kind="activations",
        shape=shape,
    )
