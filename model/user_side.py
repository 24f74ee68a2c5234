"""The half of a recommender that a server runs at each request: a window of item numbers in, a state out.

Shapes: B batch, L steps, D width, N items.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .inputs import ContentVectors
from .recommender import SequenceRecommender

ITEMS_AT_ONCE = 8192


class UserSide(nn.Module):
    """A sequence recommender without its head, fit to be made a graph of.

    What turned content into vectors becomes a table of its results, (N + 1, D): the features themselves,
    often twenty times as wide, need not travel with the graph.
    """

    def __init__(self, model: SequenceRecommender) -> None:
        """Take over `model`, which is changed: it can no longer be trained."""
        super().__init__()
        self.model = model
        _content_as_tables(model)

    def forward(self, items: Tensor) -> Tensor:
        """Item numbers 1…N, (B, L), padded on the left with 0 -> (B, D)."""
        return self.model.encode(items)


@torch.no_grad()
def _content_as_tables(module: nn.Module) -> None:
    for name, part in module.named_children():
        if isinstance(part, ContentVectors):
            numbers = torch.arange(len(part.absent), device=part.absent.device)
            blocks = range(0, len(numbers), ITEMS_AT_ONCE)
            table = torch.cat([part(numbers[low : low + ITEMS_AT_ONCE]) for low in blocks])
            setattr(module, name, nn.Embedding(len(table), table.shape[1], _weight=table))
        else:
            _content_as_tables(part)
