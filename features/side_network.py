"""A side network: a small network beside a frozen transformer, fed with the states of all its blocks.

Fu et al., "IISAN: Efficiently Adapting Multimodal Representation for Sequential Recommendation with Decoupled
PEFT" (SIGIR 2024, arXiv 2404.02059). For each block of the encoder, a gate mixes the side network's state
with the encoder's state after that block, and the mixture goes through a bottleneck. No gradient flows
through the encoder, so its states are computed once and stored, and a training step costs a few small
products.

Where we differ on purpose: each modality has a side network of its own, and IISAN's third, which mixes both,
is left to the model that reads the vectors (TSSR has its own fusion); the states after every block are read,
none skipped, and those of the embeddings are not. The last states are the encoder's own vectors, so with a
last gate at the encoder's side the result is little more than frozen features.

Shapes: B batch, K blocks, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .block_states import BlockStates, count_blocks
from .encoder import ContentEncoder
from .houlsby import Bottleneck


class SideNetwork(nn.Module):
    """Pooled states of all blocks (B, K, D) -> vectors (B, D)."""

    def __init__(self, blocks: int, width: int, dim: int) -> None:
        super().__init__()
        self.bottlenecks = nn.ModuleList(Bottleneck(width, dim) for _ in range(blocks))
        self.gates = nn.Parameter(torch.zeros(blocks - 1))  # before the sigmoid: at first, half and half

    def forward(self, states: Tensor) -> Tensor:
        """Mix and transform block after block."""
        first, *others = self.bottlenecks
        # The first bottleneck reads the states after the first block alone; there is nothing to mix yet.
        side: Tensor = first(states[:, 0])
        for block, (bottleneck, gate) in enumerate(zip(others, self.gates.sigmoid(), strict=True), start=1):
            side = bottleneck(gate * side + (1 - gate) * states[:, block])
        return side


class BesideEncoder(nn.Module):
    """An encoder with its side network, as one encoder: its inputs -> (B, D)."""

    def __init__(self, encoder: nn.Module, side: SideNetwork) -> None:
        super().__init__()
        self.states = BlockStates(encoder)
        self.side = side

    def forward(self, *inputs: Tensor) -> Tensor:
        """Encode, and run the side network on the states after all blocks."""
        vectors: Tensor = self.side(self.states(*inputs))
        return vectors


def side_network(encoder: ContentEncoder, dim: int, seed: int) -> SideNetwork:
    """A side network for `encoder` with its first weights. Raises UsageError where it has no blocks."""
    blocks = count_blocks(encoder, "--adapter side")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SideNetwork(blocks, encoder.dimension, dim)
