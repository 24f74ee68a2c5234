"""MFN4Rec: a GRU for ID and one for each content type, joined by a gated memory.

Applied Sciences 2021, 11(19), 8830.

No code of it is public: this is a re-implementation from the description. The memory is that of the Memory
Fusion Network it builds on (Zadeh et al., AAAI 2018; pliang279/MFN): at each step an attention over the
dimensions of all views' last two states proposes a new memory, and two gates let it in.
On purpose different from MFN: GRU states stand for LSTM cells, as MFN4Rec has it. For all models alike so
that they compare: every real step trained by cross-entropy over all items, an untied head.

Shapes: B batch, L steps, D width, V views (ID and each content type).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.schema import PADDING
from .heads import item_head
from .inputs import ItemVectors, content_vectors
from .layers import Mix, Recurrent, initialise
from .recommender import SequenceRecommender

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import MFN4RecSettings


class Steer(nn.Sequential):
    """A small network of two layers that steers the memory."""

    def __init__(self, width: int, output: int, settings: MFN4RecSettings) -> None:
        super().__init__(
            nn.Linear(width, settings.memory_width),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.memory_width, output),
        )


class GatedMemory(nn.Module):
    """The multi-view gated memory: what the views say together, kept over time."""

    def __init__(self, views: int, settings: MFN4RecSettings) -> None:
        super().__init__()
        width, seen = settings.width, 2 * views * settings.width
        self.attend = Steer(seen, seen, settings)
        self.propose = Steer(seen, width, settings)
        self.keep = Steer(seen + width, width, settings)
        self.update = Steer(seen + width, width, settings)

    def forward(self, states: list[Tensor], real: Tensor) -> Tensor:
        """V views of (B, L, D), zeros on padding, and (B, L) -> the memory after each step, (B, L, D)."""
        now = torch.cat(states, dim=-1)  # (B, L, V D)
        # `pad` with 1 and -1 along the steps moves all states one step on: 0 s1 s2 beside s1 s2 s3. At a
        # window's first real step the one before is padding, whose states are 0.
        seen = torch.cat([F.pad(now, (0, 0, 1, -1)), now], dim=-1)  # the step before, and this one
        # (B, L, 2 V D): every dimension of every view is weighed against all others.
        attended = seen * self.attend(seen).softmax(dim=-1)
        proposed = self.propose(attended).tanh()
        memory = torch.zeros_like(states[0][:, 0])
        memories = []
        # One step after another, because the gates read the memory that the step before has left.
        for step in range(real.shape[1]):
            view = torch.cat([attended[:, step], memory], dim=-1)
            kept, added = self.keep(view).sigmoid(), self.update(view).sigmoid()
            # Padding leaves the memory as it is, at its start of 0.
            memory = (kept * memory + added * proposed[:, step]).where(real[:, step, None], memory)
            memories.append(memory)
        return torch.stack(memories, dim=1)


class MFN4Rec(SequenceRecommender):
    """A GRU a view, and the memory beside them."""

    def __init__(self, materials: Materials, settings: MFN4RecSettings) -> None:
        super().__init__(materials.length)
        width = settings.width
        contents = content_vectors(materials, width, settings)
        self.inputs = nn.ModuleList([ItemVectors(materials.item_count, width), *contents])
        self.dropout = nn.Dropout(settings.dropout)
        self.recurrent = nn.ModuleList(
            Recurrent(width, settings.layers, settings.dropout) for _ in self.inputs
        )
        self.memory = GatedMemory(len(self.inputs), settings)
        self.join = Mix(width, len(self.inputs) + 1)
        initialise(self, materials.item_count)
        self.head = item_head(materials, settings, self.inputs[0])

    def states(self, inputs: Tensor) -> Tensor:
        """(B, L) -> (B, L, D)."""
        real = inputs != PADDING
        views = [
            recurrent(self.dropout(enter(inputs)), real)
            for enter, recurrent in zip(self.inputs, self.recurrent, strict=True)
        ]
        joined: Tensor = self.join([*views, self.memory(views, real)])
        return joined
