"""The pooled states after each block of a transformer: K vectors for each content, stored for side networks.

A side network (features/side_network.py) reads them, so that training never runs the encoder. The last of the
K vectors is the encoder's own output, after its final norm and pooling; the others are pooled in the same way
without the final norm. BERT-base gives 12 x 768 numbers, 18 KiB a text in float16.

Shapes: B batch, L tokens or patches, K blocks, D width.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import UsageError
from .encoder import ContentEncoder
from .modality import ALL, LAYERS, MODALITIES, EncoderChoice
from .text_encoder import TextEncoder
from .transformer_halves import model_of, transformer_blocks


class BlockStates(nn.Module):
    """An encoder that gives its pooled states behind every block: its inputs -> (B, K, D)."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, *inputs: Tensor) -> Tensor:
        """Run the encoder and look at its blocks on the way."""
        seen: list[Tensor] = []

        def look(_: nn.Module, __: Any, given: Any) -> None:
            # Some libraries' blocks return a tuple that begins with the states.
            seen.append(given[0] if isinstance(given, tuple) else given)

        # The last block is left out: its states come out of the encoder itself, normed and pooled.
        blocks = transformer_blocks(self.encoder)[:-1]
        hooks = [block.register_forward_hook(look) for block in blocks]
        try:
            vectors = self.encoder(*inputs)
        finally:
            for hook in hooks:
                hook.remove()
        # K vectors of (B, D) -> (B, K, D).
        return torch.stack([*(self._pooled(states, inputs) for states in seen), vectors], dim=1)

    def _pooled(self, states: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
        """States of one block (B, L, D) -> (B, D), as the encoder pools its last ones."""
        if isinstance(self.encoder, TextEncoder) and self.encoder.pooling != "pooler":
            return self.encoder.pool(SimpleNamespace(last_hidden_state=states), inputs[1])
        pooling = getattr(getattr(self.encoder, "backbone", None), "pooling", "cls")
        if pooling == "mean" or hasattr(model_of(self.encoder), "head"):  # SigLIP has no class token
            return states.mean(dim=1)
        return states[:, 0]


class _Flat(nn.Module):
    """The states of all blocks in one row: its inputs -> (B, K D)."""

    def __init__(self, states: BlockStates) -> None:
        super().__init__()
        self.states = states

    def forward(self, *inputs: Tensor) -> Tensor:
        """Encode and flatten."""
        states: Tensor = self.states(*inputs)
        return states.flatten(1)


def count_blocks(encoder: ContentEncoder, option: str) -> int:
    """K. Raises UsageError that begins with `option` for an encoder without transformer blocks."""
    count = len(transformer_blocks(encoder.module))
    if not count:
        raise UsageError(
            f"{option}: {encoder.name} has no transformer blocks in a known place; take a BERT-family model "
            "or a vision transformer, or for a convolutional network --unfreeze last:1"
        )
    return count


def all_layers(encoder: ContentEncoder, choice: EncoderChoice) -> ContentEncoder:
    """`encoder` with the states of all its blocks for vectors.

    Raises UsageError where it has none, or where their widths differ.
    """
    option = "--layers all"
    shape = (count_blocks(encoder, option), encoder.dimension)
    module = BlockStates(encoder.module).eval()
    try:
        with torch.no_grad():
            found = tuple(module(*MODALITIES[choice.modality].largest(choice)).shape[1:])
    except RuntimeError:  # torch, of rows with different widths
        found = ()
    if found != shape:
        raise UsageError(
            f"{option}: the blocks of {encoder.name} do not all give {encoder.dimension} numbers a content; "
            "take another transformer, or --until"
        )
    return replace(
        encoder,
        name=f"{encoder.name}-{LAYERS}",
        dimension=shape[0] * shape[1],
        key={**encoder.key, LAYERS: ALL},
        module=_Flat(module).eval(),
        kind=LAYERS,
        shape=shape,
    )
