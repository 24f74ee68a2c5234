"""The head all neural models share: inner products with a table of item vectors, plus a bias per item.

The table is by default its own, not the input embedding (the released TSSR code has a linear classifier
there, and gSASRec reports the untied table as better). Class 0 of the released classifier, the padding, is
left out. Content on this side is what lets rare items be ranked.

The cross-entropy over all N items never holds more than one block of scores: the gradient is computed on the
way forward, block by block, so memory is that of the item gradient and not positions x N, and the cost is the
three matrix products any full softmax needs.

Shapes: P positions, N items, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .inputs import ItemVectors, content_vectors
from .layers import LINEAR_BIAS_START, initialise
from .precision import product_dtype
from .settings import ReadingSettings, WindowSettings

if TYPE_CHECKING:
    from .registry import Materials

BLOCK_BYTES = 64 * 2**20  # of scores held at once


class _FullSoftmax(torch.autograd.Function):
    """Mean cross-entropy of (P, D) states against (N, D) items, gradients taken on the way forward.

    Autocast does not reach the products of a function like this, so they are cast here: with bfloat16, scores
    are rounded to it once, and the softmax, the loss and the sums over blocks are float32.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, items: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        count = len(states)
        rows = max(1, BLOCK_BYTES // (4 * len(items)))
        dtype = product_dtype(items)
        factor, start = items.to(dtype), bias.to(dtype)
        loss = torch.zeros((), dtype=torch.float32, device=states.device)
        grad_states = torch.empty_like(states)
        grad_items, grad_bias = torch.zeros_like(items), torch.zeros_like(bias)
        for low in range(0, count, rows):
            block, wanted = states[low : low + rows].to(dtype), targets[low : low + rows]
            scores = torch.addmm(start, block, factor.T).float()  # (rows, N)
            top = scores.amax(dim=1, keepdim=True)
            target_scores = scores.gather(1, wanted[:, None]) - top
            total = scores.sub_(top).exp_().sum(dim=1, keepdim=True)
            loss += (total.log() - target_scores).sum()
            # From here on `scores` is the gradient: (softmax - one-hot) / P.
            scores.div_(total * count)
            scores.scatter_add_(1, wanted[:, None], torch.full_like(total, -1 / count))
            gradient = scores.to(dtype)
            grad_states[low : low + rows] = torch.mm(gradient, factor)
            if dtype == items.dtype:
                grad_items.addmm_(gradient.T, block)
            else:
                grad_items += torch.mm(gradient.T, block)
            grad_bias += gradient.sum(dim=0, dtype=bias.dtype)
        ctx.save_for_backward(grad_states, grad_items, grad_bias)
        return loss / count

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = grad_outputs
        grad_states, grad_items, grad_bias = ctx.saved_tensors
        return grad_states * scale, grad_items * scale, grad_bias * scale, None


def full_softmax(states: Tensor, items: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over all items.

    `states` (P, D), `items` (N, D), `bias` (N,), `targets` (P,) with item numbers 1…N.
    """
    loss: Tensor = _FullSoftmax.apply(states, items, bias, targets - 1)
    return loss


class ItemHead(nn.Module):
    """The (N, D) item vectors and (N,) bias that score states.

    Vectors are the sum of what is asked for: a free table, inputs of its own (projected content), and an
    input that the model also reads with (`tied`), which is the model's and is not saved here again.
    """

    def __init__(
        self,
        item_count: int,
        width: int,
        *,
        table: bool = True,
        inputs: Sequence[nn.Module] = (),
        tied: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(item_count, width)) if table else None
        self.bias = nn.Parameter(torch.full((item_count,), LINEAR_BIAS_START))
        self.inputs = nn.ModuleList(inputs)
        self._tied = (tied,) if tied is not None else ()  # in a tuple, so that torch does not register it
        if self.weight is not None:
            nn.init.xavier_normal_(self.weight)

    def vectors(self) -> Tensor:
        """The vectors of items 1…N, (N, D); a table alone is given as it is, not copied."""
        items = torch.arange(1, len(self.bias) + 1, device=self.bias.device)
        parts = [] if self.weight is None else [self.weight]
        parts += [enter(items[None])[0] for enter in (*self.inputs, *self._tied)]
        return sum(parts[1:], start=parts[0])

    @property
    def ranks_cold_items(self) -> bool:
        """Whether an item without a train action can be scored: from content, whatever else is learned."""
        entrances = (*self.inputs, *self._tied)
        learned = [part for enter in entrances for part in enter.modules() if isinstance(part, ItemVectors)]
        return bool(entrances) and not learned

    def items_with_cold(self, cold: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors (N, D) and biases (N,), those of `cold` items, (N,) bool, from content alone.

        A cold item never was the answer: its own row and bias are their start and what pushed it away from
        other answers. The mean over the other items stands for both: an average item with its own content.
        """
        vectors, bias = self.vectors(), self.bias
        cold = cold.to(bias.device)
        if self.weight is not None:
            content = vectors - self.weight
            vectors = vectors.where(~cold[:, None], content + self.weight[~cold].mean(dim=0))
        return vectors, bias.where(~cold, bias[~cold].mean())

    def scores(self, states: Tensor, targets: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the next items (P,) and of drawn ones (P, K): states (P, D), numbers in 1…N."""
        items = torch.cat([targets[:, None], drawn], dim=1) - 1
        scores = torch.einsum("pd,pkd->pk", states, self.vectors()[items]) + self.bias[items]
        return scores[:, 0], scores[:, 1:]

    def forward(self, states: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of the next item: states (P, D), targets (P,) in 1…N."""
        return full_softmax(states, self.vectors(), self.bias, targets)


def item_head(materials: Materials, settings: WindowSettings, tied: nn.Module) -> ItemHead:
    """The head that the settings ask for; `tied` is the model's item input.

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
    return ItemHead(
        materials.item_count,
        settings.width,
        table=settings.head.startswith("table"),
        inputs=contents,
        tied=tied if settings.head == "tied" else None,
    )
