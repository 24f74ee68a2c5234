"""eSASRec: SASRec's training with LiGR blocks and a sampled softmax (Tikhonovich et al., RecSys 2025).

arXiv 2508.06450; reference: RecTools' `LiGRLayers` and its SASRec with `loss="sampled_softmax"`. The block is
that of LiGR (arXiv 2502.03417): LayerNorm before each branch, and what a branch gives is multiplied by
sigmoid(W x + b) of the states x that came in, before it is added to them; the feed-forward branch is SwiGLU
without biases. Items are scored by the vectors that they are read with (`--head tied`). Negatives are drawn
evenly, 256 a step.
On purpose different, for all models alike so that they compare: biases of items, the common start of weights,
a LayerNorm after the last block as in all transformers here that normalise before the branch, and one draw of
negatives for the positions of a whole step, with the logQ correction, in place of one for each position.

Shapes: B batch, L steps, D width, P real steps of the batch and filler (see `real_steps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from .heads import item_head
from .input_embedding import InputEmbedding
from .inputs import ItemVectors
from .layers import Attention, Transformer, initialise
from .real_steps import RealSteps
from .recommender import SequenceRecommender

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import ESASRecSettings, SequenceSettings


class SwiGLU(nn.Module):
    """SwiGLU: W3 (SiLU(W1 x) * W2 x), the feed-forward layer of arXiv 2002.05202."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        # W1, W2 and W3.
        self.gate = nn.Linear(width, inner, bias=False)
        self.widen = nn.Linear(width, inner, bias=False)
        self.narrow = nn.Linear(inner, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        """(P, D) -> (P, D)."""
        narrowed: Tensor = self.narrow(self.dropout(F.silu(self.gate(states)) * self.widen(states)))
        return narrowed


class LiGRBlock(nn.Module):
    """Attention, then SwiGLU; each result is multiplied by sigmoid(W x + b) of the states x before it."""

    def __init__(self, settings: SequenceSettings) -> None:
        super().__init__()
        width = settings.width
        self.attention = Attention(width, settings.heads, settings.dropout)
        self.feedforward = SwiGLU(width, settings.feedforward_width, settings.dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.gates = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, states: Tensor, steps: RealSteps, contexts: Sequence[Tensor] = ()) -> Tensor:
        """(P, D) -> (P, D); contexts, (P, D) each, are read in place of the states themselves."""
        # Only the branch reads normalised states; the gate reads them as they came in, as LiGR has it.
        entered = self.norms[0](states)
        read = self.attention(entered, contexts or (entered,), steps)
        states = states + self.gates[0](states).sigmoid() * self.dropout(read)
        thought = self.feedforward(self.norms[1](states))
        after: Tensor = states + self.gates[1](states).sigmoid() * self.dropout(thought)
        return after


class ESASRec(SequenceRecommender):
    """A stack of LiGR blocks over learned item vectors."""

    def __init__(self, materials: Materials, settings: ESASRecSettings) -> None:
        super().__init__(materials.length)
        self.item_input = ItemVectors(materials.item_count, settings.width)
        self.entrance = InputEmbedding(materials.length, settings)
        self.encoder = Transformer(settings, settings.blocks, LiGRBlock)
        initialise(self, materials.item_count)
        self.head = item_head(materials, settings, self.item_input)

    def states(self, inputs: Tensor) -> Tensor:
        """(B, L) -> (B, L, D)."""
        states: Tensor = self.encoder(self.entrance(self.item_input(inputs)), RealSteps.of(inputs))
        return states
