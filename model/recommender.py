"""The interfaces of recommenders: training, ranking and export use a model through these methods alone.

Shapes: B batch, L steps, D width, N items.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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
    """A recommender whose score is the inner product of a user's state and an item's vector, plus a bias.

    `length` is L, the number of newest actions that the model reads; None for a model that reads no window
    (PopRec). With `skips_last` the newest item of a history is never recommended, whatever its score.
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
    """A recommender that gives the scores of all items itself, as ItemKNN does, and has no item vectors."""

    length: int | None

    @property
    def skips_last(self) -> bool:
        """Whether the newest item of a history is left out."""
        ...

    def scores(self, queries: Queries, low: int, high: int) -> NDArray[np.float64]:
        """Give all items' scores for queries low…high-1, (B, N).

        Scores that are equal in exact arithmetic must be equal to the last bit, for instance by rounding:
        the ranking gives items of equal score the same rank.
        """
        ...


Recommender = VectorRecommender | DenseRecommender


@runtime_checkable
class RanksColdItems(Protocol):
    """A recommender that may know items without a train action by their content.

    How it is asked for them is what `ColdVectors` and `ColdScores` tell.
    """

    @property
    def ranks_cold_items(self) -> bool:
        """Whether this model can, with the settings that it was built with."""
        ...


@runtime_checkable
class ColdVectors(RanksColdItems, Protocol):
    """A vector recommender that has vectors for cold items too."""

    def items_with_cold(self, cold: Tensor, warm: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The vectors (N, D) and biases (N,), those of `cold` items, (N,) bool, from content alone.

        A model may replace what it could not learn of a cold item, such as its bias, by the mean over the
        `warm` items, (N,) bool; these are by default all items that are not cold.
        """
        ...


@runtime_checkable
class ColdScores(RanksColdItems, Protocol):
    """A dense recommender that has scores for cold items too."""

    def scores_with_cold(self, queries: Queries, low: int, high: int, cold: Tensor) -> NDArray[np.float64]:
        """The scores as `scores`, (B, N), those of `cold` items, (N,) bool, from content alone."""
        ...


BlockScores = Callable[[int, int], NDArray[np.float64]]  # low, high -> (B, N)


@runtime_checkable
class PreparesScores(Protocol):
    """A dense recommender of which all blocks of queries need the same, such as item vectors of its parts."""

    def scorer(self, queries: Queries, cold: Tensor | None = None) -> BlockScores:
        """What gives the scores of queries low…high-1, with what all blocks need computed once.

        That is held as long as the scorer is. `cold` is as in `ColdScores`, where the model is one.
        """
        ...


def scores_by_block(model: DenseRecommender, queries: Queries, cold: Tensor | None = None) -> BlockScores:
    """What gives a dense model's scores of queries low…high-1; `cold` as in `ColdScores`, if it is one."""
    if isinstance(model, PreparesScores):
        return model.scorer(queries, cold)
    if cold is not None and isinstance(model, ColdScores):
        return partial(model.scores_with_cold, queries, cold=cold)
    return partial(model.scores, queries)


@runtime_checkable
class ChosenOnValidation(Protocol):
    """An untrained recommender that leaves some settings to validation."""

    def choose(self, validate: Callable[[], float]) -> dict[str, Any]:
        """Keep the settings with the greatest `validate()`, and return them by name."""
        ...


@runtime_checkable
class WeighedOnValidation(Protocol):
    """A trained recommender whose parts are added with weights that are chosen once training is over."""

    def weigh(self, validation: Queries) -> dict[str, float]:
        """Choose and keep the weights that rank `validation` best; return each part's share, summing to 1."""
        ...


class NeuralRecommender(nn.Module):
    """A recommender trained by gradient descent: it defines its training samples and its loss."""

    length: int | None = None
    skips_last = False

    def samples(self, train: Histories, which: str, device: torch.device) -> Samples:
        """Give what the model is trained on; `which` is the value of --train-windows, `last` or `all`."""
        raise NotImplementedError  # pragma: no cover - every model has its own

    def losses(self, batch: Any) -> Losses:
        """Give the weighted terms of the loss on a batch of the samples; the trainer minimises their sum.

        Under torchrun each process returns its contribution to every term; the sum over processes is the
        term itself (see `gathering`).
        """
        raise NotImplementedError  # pragma: no cover - every model has its own


class SequenceRecommender(NeuralRecommender):
    """A model that reads a window of L actions and has a state after each; the head scores items by it."""

    length: int
    head: ItemHead

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.objective: NextItemLoss | None = None  # set by models whose loss is a setting (--loss)

    def states(self, inputs: Tensor) -> Tensor:
        """Give the state after every step: (B, L) left-padded -> (B, L, D).

        What stands at padding steps is undefined, and no caller may read it.
        """
        raise NotImplementedError  # pragma: no cover - every model has its own

    def samples(self, train: Histories, which: str, device: torch.device) -> Windows:
        """Windows of L transitions."""
        return Windows(train, self.length, which, device)

    def losses(self, batch: WindowBatch) -> Losses:
        """The loss of the next item, mean over real steps: cross-entropy over items, or what --loss names."""
        states, targets = (batch.at_positions(part) for part in (self.states(batch.inputs), batch.targets))
        if self.objective is None:
            return {"ce": self.head(states, targets)}
        # The user of each of the P positions, (B,) -> (B, L) -> (P,): negatives are drawn user by user.
        users = batch.at_positions(batch.users[:, None].expand_as(batch.inputs))
        losses: Losses = self.objective(self.head, states, targets, users)
        return losses

    def encode(self, inputs: Tensor) -> Tensor:
        """Give the state after the last step: (B, any) -> (B, D).

        The window is cut or padded on the left to the model's L. So with L = 3 the windows 5 7 and 0 0 0 5 7
        both become 0 5 7 and have the same state to the bit.
        """
        return self.states(self.windows(inputs))[:, -1]

    def windows(self, inputs: Tensor) -> Tensor:
        """Cut or pad on the left to L: (B, any) -> (B, L)."""
        # A negative number of steps to add cuts so many off the front.
        return F.pad(inputs, (self.length - inputs.shape[1], 0))

    def encode_queries(self, queries: Queries, low: int, high: int) -> Tensor:
        """Give the states after the newest L actions, (B, D)."""
        return self.encode(newest(queries.histories, low, high, self.length).to(self.head.bias.device))

    def item_views(self, items: Tensor) -> dict[str, Tensor]:
        """Give each stream's vectors of some items, (K,) -> (K, D), by the stream's name, `id` first.

        A model of one stream has one entry, `model`: the item vectors of its head.
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
    """The number of weights that training changes; 0 for a model that is not trained by gradient."""
    return (
        sum(p.numel() for p in model.parameters() if p.requires_grad) if isinstance(model, nn.Module) else 0
    )
