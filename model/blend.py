"""A blend: the scores of independently trained models added with weights, as one recommender.

A single model that reads IDs and content learns mostly from the one that lowers its loss faster, and makes
little use of the other. Models trained independently each learn what their own input offers, and the sum of
their scores keeps all of it (EnsRec, arXiv 2512.17820, found the same for IDs and texts). The weight of a
part may depend on how often the candidate item was taken in training and on how long the user's history is;
both are known before the target is, so the weights leak nothing. `blend_weights` says how they are chosen.

    score(u, i) = Σ_m  of_user[m, class of u] · of_item[m, class of i] · (score_m(u, i) - shift_m)

Where all parts score by inner product, so does the blend. Its state is the parts' states side by side, each
times the part's user weight; its item vector is the parts' item vectors side by side, each times the part's
item weight; one more dimension for each part carries the bias. For example, two models of width 128 make a
blend of width 2 * 128 + 2 = 258. So everything that ranks or exports one model works for a blend. A part
that has no item vectors (ItemKNN) makes a `DenseBlend`, which adds up the scores of all items.

Shapes: B queries, M parts, N items, D_m width of part m, K classes of items, G classes of users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.blocks import rows_at_once
from ..core.dataset import Queries
from ..core.float32 import full_float32
from ..core.popularity import POPULARITY_LABELS, popularity_groups
from .batches import newest
from .blend_weights import BlendWeights, ListedItems, choose_weights
from .recommender import (
    BlockScores,
    ColdScores,
    ColdVectors,
    DenseRecommender,
    RanksColdItems,
    Recommender,
    VectorRecommender,
    scores_by_block,
)

if TYPE_CHECKING:
    from .settings import BlendSettings

USER_CLASSES = 3  # thirds of the validation users by the length of their history
USERS_ASKED = 20_000  # validation users that weights are chosen on, at most, evenly spread over all
BLOCK = 256  # queries scored in one step
DECIMALS = 9  # scores of a dense blend are rounded to these, so that sums in another order are equal too


class Blend(nn.Module):
    """What both kinds of blend have: the parts and their weights, which are saved together in one file."""

    item_class: Tensor
    of_item: Tensor
    of_user: Tensor
    shift: Tensor
    user_bounds: Tensor

    def __init__(self, parts: Sequence[Recommender], train_counts: Tensor, settings: BlendSettings) -> None:
        """All weights are 1 until others are chosen or loaded; `train_counts` is (N + 1,)."""
        super().__init__()
        self.parts = nn.ModuleList(cast(nn.Module, part) for part in parts)
        lengths = [part.length for part in parts if part.length is not None]
        self.length = max(lengths) if lengths else None
        # The classes of items by train actions: none, 1 to 4, 5 to 19, 20 and more.
        classes = torch.from_numpy(popularity_groups(train_counts[1:].cpu().numpy()))
        item_class = classes if settings.by_popularity else torch.zeros_like(classes)
        kinds = len(POPULARITY_LABELS) if settings.by_popularity else 1
        groups = USER_CLASSES if settings.by_history else 1
        self.register_buffer("item_class", item_class, persistent=False)
        self.register_buffer("of_item", torch.ones(len(parts), kinds))
        self.register_buffer("of_user", torch.ones(len(parts), groups))
        self.register_buffer("shift", torch.zeros(len(parts)))
        self.register_buffer("user_bounds", torch.zeros(groups - 1, dtype=torch.int64))

    @property
    def skips_last(self) -> bool:
        """Whether the newest item is no candidate: true where one of the parts leaves it out."""
        return any(part.skips_last for part in self.recommenders)

    @property
    def recommenders(self) -> list[Recommender]:
        """The parts."""
        return cast(list[Recommender], list(self.parts))

    @property
    def reads_lengths(self) -> bool:
        """Whether weights depend on how long a history is."""
        return len(self.user_bounds) > 0

    @property
    def ranks_cold_items(self) -> bool:
        """Whether a part that knows an item by its content has a weight for items of the rarest class.

        Where only parts without such knowledge have one, all cold items would score the same.
        """
        # (M,): each part's weight for a new item, for the users with whom the part counts most.
        weights = self.of_item[:, self.class_of_new] * self.of_user.amax(dim=1)
        return any(
            isinstance(part, RanksColdItems) and part.ranks_cold_items and bool(weight)
            for part, weight in zip(self.parts, weights, strict=True)
        )

    @property
    def class_of_new(self) -> int:
        """The class of a new item: that of the rarest taken items, for which weights were chosen."""
        return min(1, self.of_item.shape[1] - 1)

    def user_factors(self, lengths: Tensor) -> Tensor:
        """The parts' weights for histories of these lengths: (B,) -> (M, B)."""
        if not self.reads_lengths:
            return self.of_user.expand(-1, lengths.shape[0])
        # The class of a user is how many bounds its length reaches, the same as `bucketize` with `right`.
        classes = (lengths.to(self.user_bounds.device)[:, None] >= self.user_bounds).sum(dim=1)
        return self.of_user[:, classes]

    @torch.inference_mode()
    @full_float32()
    def choose(self, validation: Queries, names: Sequence[str]) -> BlendWeights:
        """Choose the weights on `validation` and keep them; `names` are those of the parts, for a record."""
        asked = _spread(validation, USERS_ASKED)
        lengths = torch.from_numpy(asked.histories.lengths)
        if len(self.user_bounds):
            ordered = lengths.sort().values
            # The lengths at one third and at two thirds of the sorted users. Histories of one length are all
            # in one class, so the classes may differ in size.
            thirds = [len(ordered) * third // USER_CLASSES for third in range(1, USER_CLASSES)]
            self.user_bounds.copy_(ordered[thirds])
        # Where there is one class of items or of users, the search over it is left out (None).
        weights = choose_weights(
            ListedItems.of(self._scored(asked)),
            names,
            self.item_class.cpu() if self.of_item.shape[1] > 1 else None,
            torch.bucketize(lengths, self.user_bounds.cpu(), right=True) if len(self.user_bounds) else None,
        )
        for name in ("of_item", "of_user", "shift"):
            getattr(self, name).copy_(getattr(weights, name))
        return weights

    def _scored(self, asked: Queries) -> Iterator[tuple[list[Tensor], Tensor, Tensor | None]]:
        """Yield for each block of queries the scores of every part, the targets, and the skipped items.

        Items are numbered from 0 here.
        """
        scorers = [_part_scorer(part, asked) for part in self.recommenders]
        size = rows_at_once(asked.histories.item_count, BLOCK)
        for low in range(0, len(asked), size):
            high = min(low + size, len(asked))
            targets = torch.from_numpy(asked.targets[low:high].astype(np.int64)) - 1
            # An empty history has the newest item 0, and so -1 here, which is no item.
            newest_item = newest(asked.histories, low, high, 1)[:, 0] - 1
            scores = [score(low, high).float().cpu() for score in scorers]
            yield scores, targets, newest_item if self.skips_last else None


class VectorBlend(Blend):
    """A blend whose scores are one inner product."""

    def encode_queries(self, queries: Queries, low: int, high: int) -> Tensor:
        """The parts' states side by side, each with a 1 for its bias, times its weight: (B, Σ D_m + M)."""
        states = [part.encode_queries(queries, low, high) for part in self._vector_parts]
        return self.joined_states(states, torch.from_numpy(queries.histories.lengths[low:high]))

    def joined_states(self, states: Sequence[Tensor], lengths: Tensor) -> Tensor:
        """The blend's states from the parts' states, (B, D_m) each, and the histories' lengths, (B,)."""
        blocks = []
        for state, factor in zip(states, self.user_factors(lengths), strict=True):
            # The inner product with the item's block (see `joined_items`) is factor · weight · (state ·
            # vector) + factor · weight · (bias - shift), which is what the part adds to the score.
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
        """The blend's vectors and bias of K items, from the parts' vectors (K, D_m) and biases (K,).

        `item_class` (K,) are the items' classes by popularity, on which the parts' weights depend.
        """
        weights, blocks = self.of_item[:, item_class], []  # (M, N)
        for (vectors, bias), weight, shift in zip(sides, weights, self.shift, strict=True):
            blocks += [vectors * weight[:, None], ((bias - shift) * weight)[:, None]]
        return torch.cat(blocks, dim=1), torch.zeros_like(weights[0])

    def items_with_cold(self, cold: Tensor, warm: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Vectors and biases as `items`, those of `cold` items, (N,) bool, from content alone.

        A part that knows items by their actions alone gives every cold item the mean vector and bias of the
        `warm` items, by default all others. These are equal for all cold items, so which cold item comes
        first is decided by the parts that read content.
        """
        cold = cold.to(self.of_item.device)
        warm = ~cold if warm is None else warm.to(cold.device)
        sides = [_with_cold(part, cold, warm) for part in self._vector_parts]
        return self.joined_items(sides, self.item_class.masked_fill(cold, self.class_of_new))


class DenseBlend(Blend):
    """A blend with a part whose scores are no inner product."""

    @full_float32()
    def scorer(self, queries: Queries, cold: Tensor | None = None) -> BlockScores:
        """The weighted sums of all items' scores, (B, N), block by block; parts' vectors are computed once.

        Items of `cold`, (N,) bool, are scored from content alone: to a part that knows items by their
        actions, a cold item has the mean of the others' scores.
        """
        classes = self.item_class
        if cold is not None:
            cold = cold.to(classes.device)
            classes = classes.masked_fill(cold, self.class_of_new)
        weights, shifts = self.of_item[:, classes].double().cpu(), self.shift.double().cpu()
        # A part that weighs nothing need not be asked, as the neighbours in TSSR-Late while it trains.
        asked = {
            m: _part_scorer(part, queries, cold)
            for m, part in enumerate(self.recommenders)
            if weights[m].any()
        }

        def summed(low: int, high: int) -> NDArray[np.float64]:
            lengths = torch.from_numpy(queries.histories.lengths[low:high])
            factors = self.user_factors(lengths).double().cpu()
            total = torch.zeros(high - low, len(classes), dtype=torch.float64)
            for m, score in asked.items():
                said = score(low, high).cpu() - shifts[m]
                total += said.mul_(weights[m]).mul_(factors[m, :, None])
            rounded: NDArray[np.float64] = total.numpy().round(DECIMALS)
            return rounded

        return summed

    def scores(self, queries: Queries, low: int, high: int) -> NDArray[np.float64]:
        """The weighted sums of all items' scores for queries low…high-1, (B, N)."""
        return self.scorer(queries)(low, high)

    def scores_with_cold(self, queries: Queries, low: int, high: int, cold: Tensor) -> NDArray[np.float64]:
        """The same, (B, N), with `cold` items, (N,) bool, from content alone."""
        return self.scorer(queries, cold)(low, high)


def blend(
    parts: Sequence[Recommender], train_counts: Tensor, settings: BlendSettings
) -> VectorBlend | DenseBlend:
    """Make a blend of finished models; `train_counts` (N + 1,) says how often each item was taken."""
    if any(isinstance(part, DenseRecommender) for part in parts):
        return DenseBlend(parts, train_counts, settings)
    return VectorBlend(parts, train_counts, settings)


def _part_scorer(
    part: Recommender, queries: Queries, cold: Tensor | None = None
) -> Callable[[int, int], Tensor]:
    """What gives a part's scores of all items in float64, (B, N); its item vectors are computed here, once.

    Items of `cold`, (N,) bool on the part's device, are scored from content or as the others' mean.
    """
    if isinstance(part, DenseRecommender):
        from_content = cold is not None and isinstance(part, ColdScores) and part.ranks_cold_items
        whole = scores_by_block(part, queries, cold if from_content else None)

        def dense(low: int, high: int) -> Tensor:
            scores = torch.from_numpy(whole(low, high)).double()
            if cold is None or from_content:
                return scores
            warm = ~cold.cpu()
            return scores.where(warm, scores[:, warm].mean(dim=1, keepdim=True))

        return dense
    with torch.inference_mode():
        vectors, bias = part.items() if cold is None else _with_cold(part, cold, ~cold)
        # Once for all blocks: of 300,000 items it takes three quarters as long as a product with 64 states.
        columns, bias = vectors.double().T, bias.double()

    def inner(low: int, high: int) -> Tensor:
        with torch.inference_mode():
            return part.encode_queries(queries, low, high).double() @ columns + bias

    return inner


def _with_cold(part: VectorRecommender, cold: Tensor, warm: Tensor) -> tuple[Tensor, Tensor]:
    if isinstance(part, ColdVectors) and part.ranks_cold_items:
        return part.items_with_cold(cold, warm)
    vectors, bias = part.items()
    # Scores are linear in vector and bias, so these means score as the mean of the warm items' scores.
    average = vectors[warm].mean(dim=0), bias[warm].mean()
    return vectors.where(~cold[:, None], average[0]), bias.where(~cold, average[1])


def _spread(queries: Queries, most: int) -> Queries:
    """At most so many of the queries, evenly spread over all."""
    # Example: 3 of 5 queries are those numbered 0, 2 and 4.
    rows = np.linspace(0, len(queries) - 1, min(most, len(queries))).round().astype(np.int64)
    return queries.take(rows)
