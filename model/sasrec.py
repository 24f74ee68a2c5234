"""SASRec: self-attention over the history (Kang & McAuley, ICDM 2018, arXiv 1808.09781).

Three item inputs make three of the paper's baselines: learned vectors (SASRec-ID), projected content
(SASRec-Content), and both side by side (SASRec-Hybrid, which is also the paper's MV-TRM).
Reference: kang205/SASRec, and the ID-only model in the released TSSR code, which decides block, start and
head. On purpose different from the original, for all models alike so that they compare: cross-entropy over
all items at every real step instead of binary cross-entropy with one negative (the loss matters more than
most architecture: Klenitskiy & Vasilev, RecSys 2023), an output projection after the heads, GELU. The
original's loss, and the gBCE of gSASRec, are options; negatives are drawn evenly from items of the train
split that the user did not take.
SASRec-Content keeps an item table on the output side, so it is ID-agnostic in what it reads only.

Shapes: B batch, L steps, D width, N items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .heads import item_head
from .input_embedding import InputEmbedding
from .inputs import ConcatenatedInputs, ItemVectors, content_vectors, id_and_content
from .layers import Transformer, initialise
from .objective import NextItemLoss
from .real_steps import RealSteps
from .recommender import SequenceRecommender

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import SASRecContentSettings, SASRecSettings

    AnySASRecSettings = SASRecSettings | SASRecContentSettings


class SASRec(SequenceRecommender):
    """One transformer over one stream of item inputs."""

    def __init__(self, item_input: nn.Module, materials: Materials, settings: AnySASRecSettings) -> None:
        super().__init__(materials.length)
        self.item_input = item_input
        self.entrance = InputEmbedding(materials.length, settings)
        self.encoder = Transformer(settings, settings.blocks)
        # Before the head, whose parts have starts of their own.
        initialise(self, materials.item_count)
        self.head = item_head(materials, settings, item_input)
        self.objective = NextItemLoss(materials, settings)

    def states(self, inputs: Tensor) -> Tensor:
        """(B, L) -> (B, L, D)."""
        states: Tensor = self.encoder(self.entrance(self.item_input(inputs)), RealSteps.of(inputs))
        return states

    def encode(self, inputs: Tensor) -> Tensor:
        """(B, any) -> (B, D); in evaluation without what only the states of earlier steps would need."""
        # In training dropout is drawn for whole windows; an exported graph has whole windows as its shape.
        if self.training or torch.compiler.is_exporting():
            return super().encode(inputs)
        window = self.windows(inputs)
        return self.encoder.newest(self.entrance(self.item_input(window)), RealSteps.of(window))


def sasrec_id(materials: Materials, settings: AnySASRecSettings) -> SASRec:
    """SASRec over learned item vectors."""
    return SASRec(ItemVectors(materials.item_count, settings.width), materials, settings)


def sasrec_content(materials: Materials, settings: SASRecContentSettings) -> SASRec:
    """SASRec over item content alone; several content types are concatenated."""
    parts = content_vectors(materials, settings.width, settings)
    item_input = parts[0] if len(parts) == 1 else ConcatenatedInputs(parts, settings.width)
    return SASRec(item_input, materials, settings)


def sasrec_hybrid(materials: Materials, settings: SASRecContentSettings) -> SASRec:
    """SASRec over learned item vectors and content, concatenated."""
    return SASRec(id_and_content(materials, settings.width, settings), materials, settings)
