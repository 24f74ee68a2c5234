"""Houlsby's adapters: two small bottlenecks a transformer block, trained in place of the block itself.

Houlsby et al., "Parameter-Efficient Transfer Learning for NLP" (ICML 2019), section 2. One bottleneck follows
the projection that ends a block's attention, one that which ends its feed-forward part, each before the
residual connection. Its first weights are so small that it is nearly the identity: training starts from the
unchanged encoder.

Where we differ on purpose: the scales and biases of layer norms stay frozen too, so that an adapter is all
that a run has to keep. Example: a block of BERT-base (width 768, 7.1 million weights) with bottlenecks of 64
gets 2 x (768 x 64 + 64 + 64 x 768 + 768) = 198,272 weights, 2.8 % of its own.

Shapes: B batch, L tokens, D width.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

START = 1e-2  # deviation of the first weights, as in the paper


class Bottleneck(nn.Module):
    """x + W2 GELU(W1 x) with a narrow inner width: (…, D) -> (…, D), nearly the identity at the start."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, dim), nn.Linear(dim, width)
        for layer in (self.down, self.up):
            nn.init.trunc_normal_(layer.weight, std=START, a=-2 * START, b=2 * START)
            nn.init.zeros_(layer.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Through the bottleneck, and the states themselves beside it."""
        added: Tensor = self.up(F.gelu(self.down(states)))
        return states + added


class WithBottleneck(nn.Module):
    """A layer whose states go through a bottleneck: (…) -> (B, L, D), or a tuple that begins with that."""

    def __init__(self, layer: nn.Module, dim: int) -> None:
        super().__init__()
        self.layer = layer
        self.bottleneck = Bottleneck(width_of(layer), dim)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The layer's output, with its states passed through the bottleneck."""
        given = self.layer(*inputs, **named)
        if isinstance(given, tuple):  # torch's attention gives its weights too
            return self.bottleneck(given[0]), *given[1:]
        return self.bottleneck(given)


def width_of(layer: nn.Module) -> int:
    """D of what a linear layer or torch's attention gives."""
    return int(layer.embed_dim if isinstance(layer, nn.MultiheadAttention) else layer.out_features)  # type: ignore[arg-type]
