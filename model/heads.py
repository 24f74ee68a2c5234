"""The head all neural models share: inner products with a table of item vectors, plus a bias per item.

The table is by default its own, not the input embedding (the released TSSR code has a linear classifier
there, and gSASRec reports the untied table as better). Class 0 of the released classifier, the padding, is
left out. Content on this side is what lets rare items be ranked.

Shapes: P positions, N items, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .gathering import total_count
from .inputs import ItemVectors, content_vectors
from .layers import LINEAR_BIAS_START, initialise
from .settings import ReadingSettings, WindowSettings
from .shapes import filled
from .softmax import ItemSample, full_softmax, sampled_softmax

if TYPE_CHECKING:
    from .materials import Materials


class ItemHead(nn.Module):
    """The (N, D) item vectors and (N,) bias that score states.

    Vectors are the sum of what is asked for: a free table, inputs of its own (projected content), and an
    input that the model also reads with (`tied`), which is the model's and is not saved here again. With a
    `sample` the loss is over drawn items, and no step scores all of them.
    """

    warm: Tensor | None
    place: Tensor

    def __init__(
        self,
        item_count: int,
        width: int,
        *,
        table: bool = True,
        inputs: Sequence[nn.Module] = (),
        tied: nn.Module | None = None,
        sample: ItemSample | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(item_count, width)) if table else None
        self.bias = nn.Parameter(torch.full((item_count,), LINEAR_BIAS_START))
        self.inputs = nn.ModuleList(inputs)
        self.tied = (tied,) if tied is not None else ()  # in a tuple, so that torch does not register it
        self.sample = sample
        self.register_buffer("warm", None, persistent=False)  # rows (W,) of the items trained on; None: all
        self.register_buffer("place", None, persistent=False)  # item number -> 1…W among them, (N + 1,)
        if self.weight is not None:
            nn.init.xavier_normal_(self.weight)

    def vectors(self, items: Tensor | None = None) -> Tensor:
        """The vectors of items 1…N, (N, D), or those of `items`, (…) -> (…, D).

        A table alone is given as it is, not copied.
        """
        parts = []
        if self.weight is not None:
            parts.append(self.weight if items is None else self.weight[items - 1])
        if items is None:
            items = torch.arange(1, len(self.bias) + 1, device=self.bias.device)
        parts += [enter(items) for enter in (*self.inputs, *self.tied)]
        return sum(parts[1:], start=parts[0])

    @property
    def ranks_cold_items(self) -> bool:
        """Whether an item without a train action can be scored: from content, whatever else is learned."""
        entrances = (*self.inputs, *self.tied)
        learned = [part for enter in entrances for part in enter.modules() if isinstance(part, ItemVectors)]
        return bool(entrances) and not learned

    def leave_out(self, cold: Tensor) -> None:
        """Let no loss count `cold` items, (N,) bool, as wrong answers.

        They never are the right one, so a projection of content can learn to put theirs away
        (docs/cold-items.md has what was measured).
        """
        self.warm = (~cold).nonzero()[:, 0]
        self.place = F.pad((~cold).cumsum(0), (1, 0))
        if self.sample is not None:
            self.sample = ItemSample(self.sample.weights.masked_fill(cold, 0), self.sample.size)

    def items_with_cold(self, cold: Tensor, warm: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The vectors (N, D) and biases (N,), those of `cold` items, (N,) bool, from content alone.

        A cold item never was the answer: its own row and bias are their start and what pushed it away from
        other answers. The mean over the `warm` items, by default all others, stands for both: an average item
        with its own content.
        """
        vectors, bias = self.vectors(), self.bias
        cold = cold.to(bias.device)
        warm = ~cold if warm is None else warm.to(bias.device)
        if self.weight is not None:
            content = vectors - self.weight
            vectors = vectors.where(~cold[:, None], content + self.weight[warm].mean(dim=0))
        return vectors, bias.where(~cold, bias[warm].mean())

    def scores(self, states: Tensor, targets: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the next items (P,) and of drawn ones (P, K): states (P, D), numbers in 1…N."""
        items = torch.cat([targets[:, None], drawn], dim=1)
        vectors = self.vectors(filled(items))  # the filler's are never looked at
        scores = torch.einsum("pd,pkd->pk", filled(states), vectors)[: len(items)] + self.bias[items - 1]
        return scores[:, 0], scores[:, 1:]

    def forward(self, states: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of the next item: states (P, D), targets (P,) in 1…N; of it, one's share."""
        if self.sample is None:
            share = len(targets) / total_count(len(targets))
            return self._full_softmax(states, targets) * share
        drawn, log_expected = self.sample.draw()
        items = torch.cat([targets, drawn])
        vectors, bias = self.vectors(items), self.bias[items - 1]
        own, others = vectors[: len(targets)], vectors[len(targets) :]
        taken = (states * own).sum(dim=1) + bias[: len(targets)]
        scores = (filled(states) @ others.T)[: len(states)] + bias[len(targets) :]
        return sampled_softmax(taken, scores, drawn == targets[:, None], log_expected)

    def _full_softmax(self, states: Tensor, targets: Tensor) -> Tensor:
        if self.warm is None:
            return full_softmax(states, self.vectors(), self.bias, targets)
        return full_softmax(states, self.vectors()[self.warm], self.bias[self.warm], self.place[targets])


def item_head(
    materials: Materials, settings: WindowSettings, tied: nn.Module, kind: Callable[..., ItemHead] = ItemHead
) -> ItemHead:
    """The head of this `kind` that the settings ask for; `tied` is the model's item input.

    Beside a table, content starts at zero: the head begins as the table alone and learns what to add.
    """
    contents = []
    if isinstance(settings, ReadingSettings) and "content" in settings.head:
        contents = content_vectors(materials, settings.width, settings)
    for content in contents:
        if settings.head == "table+content":
            nn.init.zeros_(content.project.weight)
            nn.init.zeros_(content.project.bias)
        else:
            initialise(content, materials.item_count)
    head = kind(
        materials.item_count,
        settings.width,
        table=settings.head.startswith("table"),
        inputs=contents,
        tied=tied if settings.head == "tied" else None,
        sample=_item_sample(materials, settings),
    )
    cold = materials.train_counts[1:] == 0
    if head.ranks_cold_items and cold.any():
        head.leave_out(cold)
    return head


def _item_sample(materials: Materials, settings: WindowSettings) -> ItemSample | None:
    """What the loss draws from: no item's weight is 0, or it could never be pushed away."""
    if not settings.softmax_sample:
        return None
    weights = materials.train_counts[1:] + 1
    if settings.softmax_sample_by == "uniform":
        weights = torch.ones_like(weights)
    return ItemSample(weights, settings.softmax_sample)
