"""A blend: the scores of independently trained models added with weights, as one recommender.

Models that learn alone and are added late keep what each knows, where one model that reads everything learns
whatever pays first (EnsRec, arXiv 2512.17820, found the same for ids and texts). The weight of a part may
depend on how often the candidate item was taken in training and on how long the user's history is; neither
tells the target. `blend_weights` says how weights are chosen.

    score(u, i) = Σ_m  of_user[m, class of u] · of_item[m, class of i] · (score_m(u, i) - shift_m)

As an inner product that is one long vector: of each part the state times its user weight beside the item's
vector times its item weight, and one more dimension for the bias, so that all that ranks or recommends with
one model does so with a blend. A part whose scores are no inner product (ItemKNN) makes the blend one whose
scores are computed whole.

Shapes: B queries, M parts, N items, D_m width of part m, K classes of items, G classes of users.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.dataset import Histories, Queries
from .batches import newest
from .blend_weights import BlendWeights, Candidates, choose_weights
from .recommender import DenseRecommender, RanksColdItems, Recommender, VectorRecommender

if TYPE_CHECKING:
    from .settings import BlendSettings

POPULARITY = (1, 5, 20)  # train actions from which an item is of the next class; below 1: it has none
USER_CLASSES = 3  # thirds of the validation users by the length of their history
USERS_ASKED = 20_000  # at most, evenly spread: more would not tell weights apart any better
BLOCK = 256  # queries scored in one step
DECIMALS = 9  # of a dense blend's scores; sums that should be equal are, whatever their order


class Blend(nn.Module):
    """What both kinds of blend have: the parts and their weights, which are saved together in one file."""

    item_class: Tensor
    of_item: Tensor
    of_user: Tensor
    shift: Tensor
    user_bounds: Tensor

    def __init__(self, parts: Sequence[Recommender], train_counts: Tensor, settings: BlendSettings) -> None:
        """Add the parts as they are until weights are chosen or loaded; `train_counts` is (N + 1,)."""
        super().__init__()
        self.parts = nn.ModuleList(cast(nn.Module, part) for part in parts)
        lengths = [part.length for part in parts if part.length is not None]
        self.length = max(lengths) if lengths else None
        counts = train_counts[1:].cpu()
        classes = torch.bucketize(counts, torch.tensor(POPULARITY), right=True)
        item_class = classes if settings.by_popularity else torch.zeros_like(counts)
        kinds = len(POPULARITY) + 1 if settings.by_popularity else 1
        groups = USER_CLASSES if settings.by_history else 1
        self.register_buffer("item_class", item_class, persistent=False)
        self.register_buffer("of_item", torch.ones(len(parts), kinds))
        self.register_buffer("of_user", torch.ones(len(parts), groups))
        self.register_buffer("shift", torch.zeros(len(parts)))
        self.register_buffer("user_bounds", torch.zeros(groups - 1, dtype=torch.int64))

    @property
    def skips_last(self) -> bool:
        """Whether the newest item is no candidate: where one part leaves it out, the blend does."""
        return any(part.skips_last for part in self.recommenders)

    @property
    def recommenders(self) -> list[Recommender]:
        """The parts."""
        return cast(list[Recommender], list(self.parts))

    @property
    def reads_lengths(self) -> bool:
        """Whether weights depend on how long a history is."""
        return len(self.user_bounds) > 0

    def user_factors(self, lengths: Tensor) -> Tensor:
        """The parts' weights for histories of these lengths: (B,) -> (M, B)."""
        if not self.reads_lengths:
            return self.of_user.expand(-1, lengths.shape[0])
        classes = (lengths.to(self.user_bounds.device)[:, None] >= self.user_bounds).sum(dim=1)
        return self.of_user[:, classes]

    @torch.inference_mode()
    def choose(self, validation: Queries, names: Sequence[str]) -> BlendWeights:
        """Choose the weights on `validation` and keep them; `names` are those of the parts, for a record."""
        asked = _spread(validation, USERS_ASKED)
        lengths = torch.from_numpy(asked.histories.lengths)
        if len(self.user_bounds):
            ordered = lengths.sort().values
            thirds = [len(ordered) * third // USER_CLASSES for third in range(1, USER_CLASSES)]
            self.user_bounds.copy_(ordered[thirds])
        weights = choose_weights(
            Candidates.of(self._scored(asked)),
            names,
            self.item_class.cpu() if self.of_item.shape[1] > 1 else None,
            torch.bucketize(lengths, self.user_bounds.cpu(), right=True) if len(self.user_bounds) else None,
        )
        for name in ("of_item", "of_user", "shift"):
            getattr(self, name).copy_(getattr(weights, name))
        return weights

    def _scored(self, asked: Queries) -> Iterator[tuple[list[Tensor], Tensor, Tensor | None]]:
        """The scores of every part, a block of queries after another; numbers of items from 0 on."""
        for low in range(0, len(asked), BLOCK):
            high = min(low + BLOCK, len(asked))
            targets = torch.from_numpy(asked.targets[low:high].astype(np.int64)) - 1
            newest_item = newest(asked.histories, low, high, 1)[:, 0] - 1
            scores = [_scores(part, asked, low, high).float().cpu() for part in self.recommenders]
            yield scores, targets, newest_item if self.skips_last else None


class VectorBlend(Blend):
    """A blend whose scores are one inner product."""

    def encode_queries(self, queries: Queries, low: int, high: int) -> Tensor:
        """The parts' states side by side, each with a 1 for its bias, times its weight: (B, Σ D_m + M)."""
        states = [part.encode_queries(queries, low, high) for part in self._vector_parts]
        return self.joined_states(states, torch.from_numpy(queries.histories.lengths[low:high]))

    def joined_states(self, states: Sequence[Tensor], lengths: Tensor) -> Tensor:
        """The same from the parts' states, (B, D_m) each, and the lengths of the histories, (B,)."""
        blocks = []
        for state, factor in zip(states, self.user_factors(lengths), strict=True):
            blocks += [state * factor[:, None], factor[:, None]]
        return torch.cat(blocks, dim=1)

    def items(self) -> tuple[Tensor, Tensor]:
        """The parts' vectors side by side, times their weights, (N, Σ D_m + M); no bias (N,)."""
        return self.joined_items([part.items() for part in self._vector_parts], self.item_class)

    @property
    def _vector_parts(self) -> list[VectorRecommender]:
        return cast(list[VectorRecommender], self.recommenders)

    def joined_items(
        self, sides: Sequence[tuple[Tensor, Tensor]], item_class: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The parts' vectors (K, D_m) and biases (K,) of items of these classes, (K,), as one of each."""
        weights, blocks = self.of_item[:, item_class], []  # (M, N)
        for (vectors, bias), weight, shift in zip(sides, weights, self.shift, strict=True):
            blocks += [vectors * weight[:, None], ((bias - shift) * weight)[:, None]]
        return torch.cat(blocks, dim=1), torch.zeros_like(weights[0])

    @property
    def ranks_cold_items(self) -> bool:
        """Whether one of the parts knows an item by its content."""
        return any(isinstance(part, RanksColdItems) and part.ranks_cold_items for part in self.parts)

    @property
    def class_of_new(self) -> int:
        """The class of an item that nobody has taken: that of the rarest items that were."""
        return min(1, self.of_item.shape[1] - 1)

    def items_with_cold(self, cold: Tensor, warm: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Vectors and biases as `items`, those of `cold` items, (N,) bool, from content alone.

        To a part that knows items by their actions, a cold item is the average of the `warm` ones, by default
        all others, so the parts that know its content decide.
        """
        cold = cold.to(self.of_item.device)
        warm = ~cold if warm is None else warm.to(cold.device)
        sides = [_with_cold(part, cold, warm) for part in self._vector_parts]
        return self.joined_items(sides, self.item_class.masked_fill(cold, self.class_of_new))


class DenseBlend(Blend):
    """A blend with a part whose scores are no inner product."""

    def scores(self, queries: Queries, low: int, high: int) -> NDArray[np.float64]:
        """The weighted sums of all items' scores for queries low…high-1, (B, N)."""
        factors = self.user_factors(torch.from_numpy(queries.histories.lengths[low:high])).double()
        weights = self.of_item[:, self.item_class].double()
        total = torch.zeros(high - low, len(self.item_class), dtype=torch.float64)
        for m, part in enumerate(self.recommenders):
            if not weights[m].any():
                continue
            said = _scores(part, queries, low, high).cpu() - self.shift[m].double().cpu()
            total += said * weights[m].cpu() * factors[m, :, None].cpu()
        summed: NDArray[np.float64] = total.numpy().round(DECIMALS)
        return summed


def blend(
    parts: Sequence[Recommender], train_counts: Tensor, settings: BlendSettings
) -> VectorBlend | DenseBlend:
    """Make a blend of finished models; `train_counts` (N + 1,) says how often each item was taken."""
    if any(isinstance(part, DenseRecommender) for part in parts):
        return DenseBlend(parts, train_counts, settings)
    return VectorBlend(parts, train_counts, settings)


def _scores(part: Recommender, queries: Queries, low: int, high: int) -> Tensor:
    """A part's scores of all items in float64, (B, N)."""
    if isinstance(part, DenseRecommender):
        return torch.from_numpy(part.scores(queries, low, high)).double()
    with torch.inference_mode():
        vectors, bias = part.items()
        states = part.encode_queries(queries, low, high)
        return states.double() @ vectors.double().T + bias.double()


def _with_cold(part: VectorRecommender, cold: Tensor, warm: Tensor) -> tuple[Tensor, Tensor]:
    if isinstance(part, RanksColdItems) and part.ranks_cold_items:
        return part.items_with_cold(cold, warm)
    vectors, bias = part.items()
    average = vectors[warm].mean(dim=0), bias[warm].mean()
    return vectors.where(~cold[:, None], average[0]), bias.where(~cold, average[1])


def _spread(queries: Queries, most: int) -> Queries:
    """At most so many of the queries, evenly spread over all."""
    rows = np.linspace(0, len(queries) - 1, min(most, len(queries))).round().astype(np.int64)
    whole = queries.histories
    histories = Histories(whole.items, whole.starts[rows], whole.ends[rows], whole.item_count)
    return Queries(queries.users[rows], histories, queries.targets[rows])
