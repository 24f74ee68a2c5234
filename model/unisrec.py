"""UniSRec: content through a mixture of experts, added to learned item vectors (Hou et al., KDD 2022).

arXiv 2206.05941; reference: RUCAIBox/UniSRec, its fine-tuning with item ids ("transductive") without the
pre-training on other data sets, which is what one data set allows. The adaptor is the paper's: G experts,
each a parametric whitening (a learned shift and a linear map, with dropout on the content), mixed by a
softmax over a linear map of the content. The vector with which an item enters the transformer is also the
vector that scores it; a score is the cosine of state and item divided by a temperature. Each of several
content types has an adaptor of its own, and their results are added.
On purpose different, for all models alike so that they compare: the common block and its start, every real
step trained, biases of items. The shift of an expert is written as the bias of its map, which is the same
family of functions. The noise on the gate is left out: it spreads several domains over the experts while
pre-training, and here is one domain.

Shapes: B batch, L steps, D width, N items, C content dimension, G experts.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .heads import ItemHead, item_head
from .input_embedding import InputEmbedding
from .inputs import ItemVectors
from .layers import Transformer, initialise
from .real_steps import RealSteps
from .recommender import SequenceRecommender

if TYPE_CHECKING:
    from .materials import ContentSource, Materials
    from .settings import UniSRecSettings


class MixtureAdaptor(nn.Module):
    """Content vectors through G experts, weighed item by item."""

    def __init__(self, source: ContentSource, settings: UniSRecSettings, train_counts: Tensor) -> None:
        super().__init__()
        self.content = source.content(settings, train_counts)
        self.dropout = nn.Dropout(settings.adaptor_dropout)
        self.experts = nn.ModuleList(
            nn.Linear(self.content.width, settings.width) for _ in range(settings.experts)
        )
        self.gate = nn.Linear(self.content.width, settings.experts, bias=False)

    def forward(self, items: Tensor) -> Tensor:
        """(…) item numbers -> (…, D)."""
        content = self.content(items).to(self.gate.weight.dtype)
        shares = self.gate(content).softmax(dim=-1)  # (…, G)
        # Dropout is drawn for each expert anew, so they see different parts of the content.
        adapted = torch.stack([expert(self.dropout(content)) for expert in self.experts], dim=-1)  # (…, D, G)
        mixed: Tensor = (adapted * shares.unsqueeze(-2)).sum(dim=-1)
        return mixed


class SummedInputs(nn.Module):
    """Several inputs, added up."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, items: Tensor) -> Tensor:
        """(…) -> (…, D)."""
        added: Tensor = torch.stack([part(items) for part in self.parts]).sum(dim=0)
        return added


class CosineHead(ItemHead):
    """A head whose item vectors have length 1 / temperature, for states of length 1."""

    def __init__(self, *sizes: int, temperature: float, **parts: Any) -> None:
        super().__init__(*sizes, **parts)
        self.temperature = temperature

    def vectors(self, items: Tensor | None = None) -> Tensor:
        """As `ItemHead.vectors`, of length 1 / temperature."""
        # Dividing here instead of dividing the scores keeps a score one inner product, as ranking wants it.
        return F.normalize(super().vectors(items), dim=-1) / self.temperature


class UniSRec(SequenceRecommender):
    """One transformer over the sum of learned vectors and adapted content."""

    def __init__(self, materials: Materials, settings: UniSRecSettings) -> None:
        super().__init__(materials.length)
        adaptors = [
            MixtureAdaptor(content, settings, materials.train_counts) for content in materials.contents
        ]
        self.item_input = SummedInputs([ItemVectors(materials.item_count, settings.width), *adaptors])
        self.entrance = InputEmbedding(materials.length, settings)
        self.encoder = Transformer(settings, settings.blocks)
        initialise(self, materials.item_count)
        # The head is tied: the module that reads items also makes the vectors that score them.
        kind = partial(CosineHead, temperature=settings.temperature)
        self.head = item_head(materials, settings, self.item_input, kind)

    def states(self, inputs: Tensor) -> Tensor:
        """(B, L) -> (B, L, D), of length 1."""
        states = self.encoder(self.entrance(self.item_input(inputs)), RealSteps.of(inputs))
        return F.normalize(states, dim=-1)
