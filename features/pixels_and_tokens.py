"""Encoder inputs as a store: pixels and token ids, stored like vectors.

End-to-end training reads them from the store, and never decodes a JPEG or runs a tokenizer.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from .encoder import ContentEncoder
from .pictures import PicturePreparation
from .text_encoder import Tokens


class Flat(nn.Module):
    """Pixels as they are: (B, 3, H, W) uint8 -> (B, 3 H W)."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Flatten."""
        return pixels.flatten(1)


class TokenTable(nn.Module):
    """Token ids padded with -1 to a fixed length: (B, L) ids and mask -> (B, length)."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Mark the padding and widen."""
        marked = ids.masked_fill(mask == 0, -1)
        return nn.functional.pad(marked, (0, self.length - ids.shape[1]), value=-1)


def token_ids_of(tokens: Tokens) -> ContentEncoder:
    """The token ids of texts as rows of int32, (length,)."""
    key = {"material": "tokens", "preparation": tokens.spec()}
    name, module = f"tokens-{tokens.length}", TokenTable(tokens.length)
    return ContentEncoder(name, tokens.length, key, tokens, module, "tokens", "int32", (tokens.length,))


def pixels_of(preparation: PicturePreparation) -> ContentEncoder:
    """The pixels of pictures as rows of uint8, (3, H, W) flattened."""
    key = {"material": "pixels", "preparation": preparation.spec}
    width = math.prod(preparation.shape)
    name = f"pixels-{preparation.shape[-1]}"
    return ContentEncoder(name, width, key, preparation.prepare, Flat(), "pixels", "uint8", preparation.shape)
