"""FDSA: one encoder for item IDs, one for item features, joined at the end (Zhang et al., IJCAI 2019).

There is no official code; reference: RecBole's FDSA. The ID stream and the feature stream have an encoder
each and share one position table. Where items have several features (image and text), a learned attention
pools these into one vector before the feature encoder. The last states of the two encoders are concatenated
and go through one linear layer.
On purpose different, for all models alike so that they compare: the common block and its start, every real
step trained, an untied head, and neither LayerNorm nor dropout behind the joining layer.
This is TSSR without cross-attention, gate and contrasts.

Shapes: B batch, L steps, D width, M content streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .heads import item_head
from .input_embedding import InputEmbedding
from .inputs import ItemVectors, content_vectors
from .layers import Mix, Transformer, initialise
from .real_steps import RealSteps
from .recommender import SequenceRecommender

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import ContentSettings


class AttentionPooledInputs(nn.Module):
    """Several inputs as one: their sum, weighted for each item by a softmax ("vanilla attention")."""

    def __init__(self, parts: Sequence[nn.Module], width: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.weigh = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1, bias=False))

    def forward(self, items: Tensor) -> Tensor:
        """(B, L) -> (B, L, D)."""
        vectors = torch.stack([part(items) for part in self.parts], dim=-2)  # (B, L, M, D)
        weights: Tensor = self.weigh(vectors).softmax(dim=-2)  # (B, L, M, 1)
        return (weights * vectors).sum(dim=-2)


class FDSA(SequenceRecommender):
    """Two encoders and a linear layer that joins them."""

    def __init__(self, materials: Materials, settings: ContentSettings) -> None:
        super().__init__(materials.length)
        width = settings.width
        # One input for each content type. A single one is not pooled, since a softmax over one weight is 1.
        features = content_vectors(materials, width, settings)
        self.inputs = nn.ModuleList(
            [
                ItemVectors(materials.item_count, width),
                features[0] if len(features) == 1 else AttentionPooledInputs(features, width),
            ]
        )
        self.entrance = InputEmbedding(materials.length, settings)
        self.encoders = nn.ModuleList(Transformer(settings, settings.blocks) for _ in self.inputs)
        self.join = Mix(width, len(self.inputs))
        initialise(self, materials.item_count)
        self.head = item_head(materials, settings, self.inputs[0])

    def states(self, inputs: Tensor) -> Tensor:
        """(B, L) -> (B, L, D)."""
        steps = RealSteps.of(inputs)
        states: Tensor = self.join(
            [
                encoder(self.entrance(vectors(inputs)), steps)
                for vectors, encoder in zip(self.inputs, self.encoders, strict=True)
            ]
        )
        return states
