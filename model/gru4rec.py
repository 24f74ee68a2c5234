"""GRU4Rec: a recurrent network over the history (Hidasi et al., ICLR 2016, arXiv 1511.06939).

Reference: hidasib/GRU4Rec, and antklen/sasrec-bert4rec-recsys23 for training it on whole histories. On
purpose different, for all models alike so that they compare: windows of a user with backpropagation through
all steps instead of session-parallel batches, cross-entropy over all items at every real step, an untied
head, Adam. The GRU keeps torch's initial weights. BPR-max, the original's sampled loss, is an option; it
draws evenly for each step what its user did not take, not by popularity for a batch, and puts no ELU on
scores. A linear layer follows the GRU, as in RecBole; neither reference has one.

Shapes: B batch, L steps, D width, N items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ..core.schema import PADDING
from .heads import item_head
from .inputs import ItemVectors
from .layers import Recurrent, initialise
from .objective import NextItemLoss
from .recommender import SequenceRecommender

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import GRU4RecSettings, MVRNNSettings

    AnyGRU4RecSettings = GRU4RecSettings | MVRNNSettings


class GRU4Rec(SequenceRecommender):
    """One GRU over one stream of item inputs."""

    def __init__(self, item_input: nn.Module, materials: Materials, settings: AnyGRU4RecSettings) -> None:
        super().__init__(materials.length)
        self.item_input = item_input
        self.dropout = nn.Dropout(settings.dropout)
        self.recurrent = Recurrent(settings.width, settings.layers, settings.dropout)
        self.output = nn.Linear(settings.width, settings.width)
        # Draws linear layers and embeddings; the GRU keeps torch's start.
        initialise(self, materials.item_count)
        self.head = item_head(materials, settings, item_input)
        self.objective = NextItemLoss(materials, settings)

    def states(self, inputs: Tensor) -> Tensor:
        """(B, L) -> (B, L, D)."""
        entered = self.dropout(self.item_input(inputs))
        states: Tensor = self.output(self.recurrent(entered, inputs != PADDING))
        return states


def gru4rec(materials: Materials, settings: GRU4RecSettings) -> GRU4Rec:
    """GRU4Rec over learned item vectors."""
    return GRU4Rec(ItemVectors(materials.item_count, settings.width), materials, settings)
