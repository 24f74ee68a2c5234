"""The user side of an exported model, run at each request: from a window of item numbers to a state.

Shapes: B batch, L steps, D width, N items.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blend import VectorBlend
from .content import FrozenContent
from .content_knn import ContentKNN
from .poprec import PopRec
from .recommender import SequenceRecommender

ITEMS_AT_ONCE = 8192


def reads_windows(model: object) -> bool:
    """Whether the model computes a user's state from the newest items of the history and nothing else."""
    if isinstance(model, VectorBlend):
        own = [part for part in model.parts if not isinstance(part, PopRec)]
        return bool(own) and all(reads_windows(part) for part in own)
    return isinstance(model, SequenceRecommender | ContentKNN)


class UserSide(nn.Module):
    """A recommender that `reads_windows`, without its item head, as one module for export.

    A layer that projects content vectors is replaced by a table of its results for all items, (N + 1, D). So
    the export needs no content vectors, which are often several times as wide. Content-KNN has no projection,
    so its table holds the content vectors themselves.
    """

    def __init__(self, model: nn.Module) -> None:
        """Take over `model`, which is changed: it can no longer be trained."""
        super().__init__()
        self.model = model
        self.skips_last = bool(model.skips_last)
        self.reads_lengths = isinstance(model, VectorBlend) and model.reads_lengths
        _content_as_tables(model)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what `forward` takes."""
        return ("items", "lengths") if self.reads_lengths else ("items",)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what `forward` gives."""
        return ("states", "left_out") if self.skips_last else ("states",)

    def forward(self, items: Tensor, lengths: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Item numbers 1…N, (B, L), padded on the left with 0 -> states (B, D).

        `lengths`, (B,), are those of the whole histories, where weights depend on them. Where the newest
        item is no candidate, its number is given too, (B,), 0 for an empty history.
        """
        if lengths is None:
            lengths = torch.zeros_like(items[:, 0])
        states = _states(self.model, items, lengths)
        return (states, items[:, -1]) if self.skips_last else states


def _states(model: nn.Module, items: Tensor, lengths: Tensor) -> Tensor:
    if isinstance(model, VectorBlend):
        return model.joined_states([_states(part, items, lengths) for part in model.parts], lengths)
    if isinstance(model, PopRec):
        return torch.zeros_like(items[:, :1], dtype=torch.float32)  # as its encode_queries gives them
    assert isinstance(model, SequenceRecommender | ContentKNN)
    # A blend is given the window of the part that reads most; each part takes its own newest L from it.
    return model.encode(items[:, items.shape[1] - model.length :])


@torch.no_grad()
def _content_as_tables(module: nn.Module) -> None:
    for name, part in module.named_children():
        content = getattr(part, "content", None)
        if isinstance(content, FrozenContent):
            features = content.features
            numbers = torch.arange(len(features), device=features.device)
            blocks = range(0, len(numbers), ITEMS_AT_ONCE)
            table = torch.cat([part(numbers[low : low + ITEMS_AT_ONCE]) for low in blocks])
            setattr(module, name, nn.Embedding(len(table), table.shape[1], _weight=table))
        else:
            _content_as_tables(part)
