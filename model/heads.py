"""The head all neural models share: inner products with a table of item vectors, plus a bias per item.

The table is by default its own, not the input embedding (the released TSSR code has a linear classifier
there, and gSASRec reports the untied table as better). Class 0 of the released classifier, the padding, is
left out. A head of projected content can also score rare items, and items that nobody has taken yet.

Shapes: P positions, N items, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .content import read_by_head
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

    The vectors are the sum of the given parts: a free table; `inputs`, such as projected content; and
    the model's item input (`tied`), which the model saves. With a `sample` the loss is a softmax over drawn
    items, so that no step scores all items.
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
        self.tied = (tied,) if tied is not None else ()  # in a tuple: torch would save its weights twice
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
            # The table has no row for the padding: item i is row i - 1. The inputs
            # have one, and take i itself.
            parts.append(self.weight if items is None else self.weight[items - 1])
        if items is None:
            items = torch.arange(1, len(self.bias) + 1, device=self.bias.device)
        with read_by_head():
            parts += [enter(items) for enter in (*self.inputs, *self.tied)]
        # Started with the first part, not with 0, which would copy a table that stands alone.
        return sum(parts[1:], start=parts[0])

    @property
    def ranks_cold_items(self) -> bool:
        """Whether an item without a train action can be scored: true where a part of the head is content."""
        item_inputs = (*self.inputs, *self.tied)
        learned = [part for enter in item_inputs for part in enter.modules() if isinstance(part, ItemVectors)]
        return bool(item_inputs) and not learned

    def leave_out(self, cold: Tensor) -> None:
        """Keep `cold` items, (N,) bool, out of the softmax of the loss.

        In training a cold item is never the target, always a negative. So a projection of content would
        learn to score the content of cold items low (docs/cold-items.md has what was measured).
        """
        self.warm = (~cold).nonzero()[:, 0]
        # Example: with item 2 of 3 cold, `place` is 0 1 1 2, so item 3 is row 2 of the two warm ones. What
        # stands for a cold item is never read, because a cold item is no target.
        self.place = F.pad((~cold).cumsum(0), (1, 0))
        if self.sample is not None:
            # A weight of 0 is never drawn.
            self.sample = ItemSample(self.sample.weights.masked_fill(cold, 0), self.sample.size)

    def items_with_cold(self, cold: Tensor, warm: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The vectors (N, D) and biases (N,), those of `cold` items, (N,) bool, from content alone.

        A cold item was never a target in training, so its table row and bias are the random start, changed
        only by being a negative. The mean row and bias of the `warm` items, by default all others, replace
        them; what tells cold items apart is then their content alone.
        """
        vectors, bias = self.vectors(), self.bias
        cold = cold.to(bias.device)
        warm = ~cold if warm is None else warm.to(bias.device)
        if self.weight is not None:
            # What the parts of the head other than the table give each item.
            content = vectors - self.weight
            vectors = vectors.where(~cold[:, None], content + self.weight[warm].mean(dim=0))
        return vectors, bias.where(~cold, bias[warm].mean())

    def scores(self, states: Tensor, targets: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the next items (P,) and of drawn ones (P, K): states (P, D), numbers in 1…N."""
        items = torch.cat([targets[:, None], drawn], dim=1)  # (P, 1 + K)
        vectors = self.vectors(filled(items))  # rows of the filler are computed and never read
        # Each position has items of its own, (P, 1 + K, D), so this is no matrix product.
        scores = torch.einsum("pd,pkd->pk", filled(states), vectors)[: len(items)] + self.bias[items - 1]
        return scores[:, 0], scores[:, 1:]

    def forward(self, states: Tensor, targets: Tensor) -> Tensor:
        """The process's contribution to the mean cross-entropy: states (P, D), `targets` (P,) in 1…N."""
        if self.sample is None:
            # The softmax gives the mean over this process's own P positions. Times P / (the positions of all
            # processes) it is this process's contribution to the mean over all.
            return self._full_softmax(states, targets) * (len(targets) / total_count(len(targets)))
        drawn, log_expected = self.sample.draw()
        # The P next items and the K drawn ones, which all positions share, are looked up in one go.
        items = torch.cat([targets, drawn])
        vectors, bias = self.vectors(items), self.bias[items - 1]
        own, others = vectors[: len(targets)], vectors[len(targets) :]  # (P, D), (K, D)
        taken = (states * own).sum(dim=1) + bias[: len(targets)]  # (P,)
        scores = (filled(states) @ others.T)[: len(states)] + bias[len(targets) :]  # (P, K)
        return sampled_softmax(taken, scores, drawn == targets[:, None], log_expected)

    def _full_softmax(self, states: Tensor, targets: Tensor) -> Tensor:
        if self.warm is None:
            return full_softmax(states, self.vectors(), self.bias, targets)
        return full_softmax(states, self.vectors()[self.warm], self.bias[self.warm], self.place[targets])


def item_head(
    materials: Materials, settings: WindowSettings, tied: nn.Module, kind: Callable[..., ItemHead] = ItemHead
) -> ItemHead:
    """The head of this `kind` that the settings ask for; `tied` is the model's item input.

    With `table+content` the projection starts at 0, so that training begins with the table alone.
    """
    contents = []
    if isinstance(settings, ReadingSettings) and "content" in settings.head:
        contents = content_vectors(materials, settings.width, settings)
    for content in contents:
        if settings.head == "table+content":
            # A projection of 0 does learn: its gradient is made of states and content, not of its weights.
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
    # A head that scores cold items by their content keeps them out of its loss. In any other head they are
    # negatives like all items.
    cold = materials.train_counts[1:] == 0
    if head.ranks_cold_items and cold.any():
        head.leave_out(cold)
    return head


def _item_sample(materials: Materials, settings: WindowSettings) -> ItemSample | None:
    """What a sampled softmax draws from; all weights are above 0.

    An item that is never drawn as a negative would never be scored down.
    """
    if not settings.softmax_sample:
        return None
    weights = materials.train_counts[1:] + 1
    if settings.softmax_sample_by == "uniform":
        weights = torch.ones_like(weights)
    return ItemSample(weights, settings.softmax_sample)
