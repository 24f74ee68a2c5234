"""How a window of item vectors enters a transformer: each step's position is added.

The released TSSR code adds it and no more. SASRec has dropout on the sum, and its BERT-style descendants
(S3-Rec, RecBole) LayerNorm before that; both are switches, for all transformers alike.

Shapes: B batch, L steps, D width.
"""

from __future__ import annotations

from torch import Tensor, nn

from .settings import SequenceSettings


class InputEmbedding(nn.Module):
    """Adds a learned vector for each of L steps, the last the latest action; norm and dropout on request."""

    def __init__(self, length: int, settings: SequenceSettings) -> None:
        super().__init__()
        self.position = nn.Embedding(length, settings.width)
        self.norm = nn.LayerNorm(settings.width) if settings.input_norm else None
        self.dropout = nn.Dropout(settings.input_dropout)

    def forward(self, vectors: Tensor) -> Tensor:
        """Item vectors (B, L, D) -> what the first block reads, (B, L, D)."""
        placed = vectors + self.position.weight
        entered: Tensor = self.dropout(placed if self.norm is None else self.norm(placed))
        return entered
