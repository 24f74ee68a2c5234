"""The input of a transformer: the vector of each step's item plus a learned vector of the step's position.

The released TSSR code does this and no more. SASRec also applies dropout to the sum, and its BERT-style
descendants (S3-Rec, RecBole) LayerNorm before the dropout; both are options of all transformers here.

Shapes: B batch, L steps, D width.
"""

from __future__ import annotations

from torch import Tensor, nn

from .settings import SequenceSettings


class InputEmbedding(nn.Module):
    """Adds a learned vector for each of L positions, then LayerNorm and dropout where settings ask for it.

    Position L - 1 is always the newest action, however short the window is.
    """

    def __init__(self, length: int, settings: SequenceSettings) -> None:
        super().__init__()
        self.position = nn.Embedding(length, settings.width)
        self.norm = nn.LayerNorm(settings.width) if settings.input_norm else None
        self.dropout = nn.Dropout(settings.input_dropout)

    def forward(self, vectors: Tensor) -> Tensor:
        """Item vectors (B, L, D) -> what the first block reads, (B, L, D)."""
        # (B, L, D) + (L, D): all windows get the same L position vectors.
        placed = vectors + self.position.weight
        entered: Tensor = self.dropout(placed if self.norm is None else self.norm(placed))
        return entered
