"""What every recommender can do, whatever is inside: the trainer and the ranking know no more.

Shapes: B batch, L steps, D width, N items.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.dataset import Histories, Queries
from .batches import Samples, WindowBatch, Windows, newest
from .heads import ItemHead
from .objective import NextItemLoss

Losses = dict[str, Tensor]  # terms as they enter the sum, by name; the total is their sum


@runtime_checkable
class VectorRecommender(Protocol):
    """A user's state and the items' vectors, compared by inner product.

    `length` is L, the actions it looks back on; None where it looks at no window. With `skips_last` the
    newest item of a history is no candidate, whatever its score would be.
    """

    length: int | None

    @property
    def skips_last(self) -> bool:
        """Whether the newest item of a history is left out."""
        ...

    def encode_queries(self, queries: Queries, low: int, high: int) -> Tensor:
        """Give the states of queries low…high-1, (B, D)."""
        ...

    def items(self) -> tuple[Tensor, Tensor]:
        """Give the vectors (N, D) and biases (N,) of items 1…N: scores are `states @ vectors.T + biases`."""
        ...


@runtime_checkable
class DenseRecommender(Protocol):
    """A recommender whose scores are no inner product of a short vector."""

    length: int | None

    @property
    def skips_last(self) -> bool:
        """Whether the newest item of a history is left out."""
        ...

    def scores(self, queries: Queries, low: int, high: int) -> NDArray[np.float64]:
        """Give all items' scores for queries low…high-1, (B, N); what should tie is equal."""
        ...


Recommender = VectorRecommender | DenseRecommender


@runtime_checkable
class RanksColdItems(Protocol):
    """A vector recommender that may know items without a train action by their content."""

    @property
    def ranks_cold_items(self) -> bool:
        """Whether it does, as it is built."""
        ...

    def items_with_cold(self, cold: Tensor, warm: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The vectors (N, D) and biases (N,), those of `cold` items, (N,) bool, from content alone.

        Where an average of other items has a part in them, it is that of the `warm` ones, (N,) bool, by
        default those that are not cold.
        """
        ...


@runtime_checkable
class ChosenOnValidation(Protocol):
    """An untrained recommender that leaves some settings to validation."""

    def choose(self, validate: Callable[[], float]) -> dict[str, Any]:
        """Take the settings with the best `validate()`, and say which they are."""
        ...


@runtime_checkable
class WeighedOnValidation(Protocol):
    """A trained recommender whose parts are added with weights that are chosen once training is over."""

    def weigh(self, validation: Queries) -> dict[str, float]:
        """Choose the weights on `validation`, keep them, and say how much each part decides, summing to 1."""
        ...


class NeuralRecommender(nn.Module):
    """A recommender that is trained by gradient: it also says on what, and by which loss."""

    length: int | None = None
    skips_last = False

    def samples(self, train: Histories, which: str, device: torch.device) -> Samples:
        """Give what the model is trained on; `which` is the person's --train-windows."""
        raise NotImplementedError  # pragma: no cover - every model has its own

    def losses(self, batch: Any) -> Losses:
        """Give the weighted terms of the loss on a batch of the samples; the trainer minimises their sum.

        Under torchrun these are this process's shares, which add up to the terms (see `gathering`).
        """
        raise NotImplementedError  # pragma: no cover - every model has its own


class SequenceRecommender(NeuralRecommender):
    """Reads a window of L actions: a state at every step, compared with one table of items."""

    length: int
    head: ItemHead

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.objective: NextItemLoss | None = None  # for models that leave the loss to the settings

    def states(self, inputs: Tensor) -> Tensor:
        """Give the state after every step: (B, L) left-padded -> (B, L, D); padding steps hold anything."""
        raise NotImplementedError  # pragma: no cover - every model has its own

    def samples(self, train: Histories, which: str, device: torch.device) -> Windows:
        """Windows of L transitions."""
        return Windows(train, self.length, which, device)

    def losses(self, batch: WindowBatch) -> Losses:
        """The next item's loss at every real step: the head's cross-entropy, or the objective's choice."""
        states, targets = (batch.at_positions(part) for part in (self.states(batch.inputs), batch.targets))
        if self.objective is None:
            return {"ce": self.head(states, targets)}
        users = batch.at_positions(batch.users[:, None].expand_as(batch.inputs))
        losses: Losses = self.objective(self.head, states, targets, users)
        return losses

    def encode(self, inputs: Tensor) -> Tensor:
        """Give the state after the last step: (B, any) -> (B, D).

        The window is cut or padded on the left to the model's L, so further padding changes no bit.
        """
        return self.states(self.windows(inputs))[:, -1]

    def windows(self, inputs: Tensor) -> Tensor:
        """Cut or pad on the left to L: (B, any) -> (B, L)."""
        return F.pad(inputs, (self.length - inputs.shape[1], 0))

    def encode_queries(self, queries: Queries, low: int, high: int) -> Tensor:
        """Give the states after the newest L actions, (B, D)."""
        return self.encode(newest(queries.histories, low, high, self.length).to(self.head.bias.device))

    def item_views(self, items: Tensor) -> dict[str, Tensor]:
        """Give each stream's vectors of some items, (K,) -> (K, D), the ID stream's first.

        A model of one stream has one view, the vectors that its states are compared with.
        """
        return {"model": self.head.vectors(items)}

    def user_views(self, queries: Queries) -> dict[str, Tensor]:
        """Give each stream's vectors of the Q users, (Q, D), in the order of `item_views`."""
        return {"model": self.encode_queries(queries, 0, len(queries))}

    def items(self) -> tuple[Tensor, Tensor]:
        """Give the head's vectors (N, D) and biases (N,)."""
        return self.head.vectors(), self.head.bias

    @property
    def ranks_cold_items(self) -> bool:
        """Whether the head scores an item without a train action from its content."""
        return self.head.ranks_cold_items

    def items_with_cold(self, cold: Tensor, warm: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The head's vectors (N, D) and biases (N,), those of `cold` items, (N,), from content alone."""
        return self.head.items_with_cold(cold, warm)


def parameter_count(model: Recommender) -> int:
    """How many numbers were learned."""
    return (
        sum(p.numel() for p in model.parameters() if p.requires_grad) if isinstance(model, nn.Module) else 0
    )
