"""Metrics of the recommended lists of all users: which items a model shows, whether or not they are taken.

The worked examples compute the metrics of the three lists in `example`.

Shapes: U users, K places of a list, N items, C dimensions of content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.dataset import Float64, Histories, Int64
from ..core.popularity import POPULARITY_LABELS, popularity_groups
from ..core.schema import PADDING
from .geometry import squared_lengths, unit_rows

_VALUES_AT_ONCE = 1 << 18  # float64 numbers held in one step of diversity: 2 MiB, which fit the cache


@dataclass(frozen=True)
class ItemStatistics:
    """The items: their train actions, how many of the U train users took each, and their content vectors.

    `counts` and `users_of` are (N + 1,) with 0 for the padding; each of `contents` holds vectors (N + 1, C)
    of length 1, or of zeros for an item without content.
    """

    counts: Int64
    users_of: Int64
    user_count: int
    contents: Mapping[str, NDArray[Any]]

    @classmethod
    def of(cls, train: Histories, contents: Mapping[str, NDArray[Any]]) -> ItemStatistics:
        """Count the train split's actions; `contents` are vectors (N + 1, C) of any length."""
        _, items = train.distinct()
        users_of = np.bincount(items, minlength=train.item_count + 1)
        unit = {name: unit_rows(vectors) for name, vectors in contents.items()}
        return cls(train.counts(), users_of, int(np.count_nonzero(train.lengths)), unit)

    @property
    def item_count(self) -> int:
        """N."""
        return len(self.counts) - 1


@dataclass(frozen=True)
class EvaluatedLists:
    """The lists of U users, (U, K) items, best first, padded with 0; and the item each user took, (U,)."""

    items: NDArray[Any]
    targets: NDArray[Any]
    catalogue: ItemStatistics

    def top(self, k: int) -> NDArray[Any]:
        """The first k places of the users who have a list, (U', k)."""
        # A list that has an item has one in its first place.
        items: NDArray[Any] = self.items[self.items[:, 0] != PADDING, :k]
        return items

    def counts(self, k: int) -> Int64:
        """How many lists hold each of items 1…N among their first k, (N,)."""
        return np.bincount(self.top(k).ravel(), minlength=self.catalogue.item_count + 1)[1:]

    def mean_of(self, values: Float64, k: int) -> float:
        """The mean over users of the mean over their lists; `values` are (N + 1,), one an item."""
        items = self.top(k)
        if len(items) == 0:
            return 0.0
        listed = items != PADDING
        return float(np.mean((values[items] * listed).sum(axis=1) / listed.sum(axis=1)))


def example() -> EvaluatedLists:
    """Three users and five items, for the worked examples: lists of items 1 and 2, 1 and 3, and 1 alone.

    In training all three users took item 1 once each, one took item 2 once, one took item 3 twice, and nobody
    took items 4 and 5. After their lists the users took items 2, 5 and 1.
    """
    contents = {"text": np.array([[0, 0], [1, 0], [0, 1], [0.6, 0.8], [1, 0], [1, 0]])}
    catalogue = ItemStatistics(np.array([0, 3, 1, 2, 0, 0]), np.array([0, 3, 1, 1, 0, 0]), 3, contents)
    return EvaluatedLists(np.array([[1, 2], [1, 3], [1, 0]]), np.array([2, 5, 1]), catalogue)


def coverage_at(recommended: EvaluatedLists, k: int) -> float:
    """The share of all items that are in at least one list: here items 1, 2 and 3 of five.

    >>> coverage_at(example(), 2) == 3 / 5
    True
    """
    return int(np.count_nonzero(recommended.counts(k))) / recommended.catalogue.item_count


def gini_at(recommended: EvaluatedLists, k: int) -> float:
    """The Gini coefficient of how often items are listed: 0 if all equally often, near 1 if only one item is.

    With the items' counts in rising order c_1 … c_N it is the sum of (2i - N - 1) c_i over N times the sum of
    c_i. Here the counts are 0, 0, 1, 1 and 3, so the upper sum is 0 * 1 + 2 * 1 + 4 * 3 = 14:

    >>> gini_at(example(), 2) == 14 / (5 * 5)
    True
    """
    counts = np.sort(recommended.counts(k))
    places, n = int(counts.sum()), len(counts)
    # In integers, so the sum is exact in any order.
    upper = int((2 * np.arange(1, n + 1) - n - 1) @ counts)
    return upper / (n * places) if places else 0.0


def popularity_at(recommended: EvaluatedLists, k: int) -> float:
    """The mean number of train actions of a recommended item: first in each list, then over users.

    Here (3 + 1) / 2 = 2, (3 + 2) / 2 = 5/2 and 3:

    >>> popularity_at(example(), 2) == (2 + 5 / 2 + 3) / 3
    True
    """
    return recommended.mean_of(recommended.catalogue.counts.astype(np.float64), k)


def popularity_shares_at(recommended: EvaluatedLists, k: int) -> dict[str, float]:
    """The share of all recommended places that show items with 0, 1-4, 5-19, and 20 or more train actions.

    All five places of the example go to items with one to four actions:

    >>> popularity_shares_at(example(), 2)
    {'0': 0.0, '1-4': 1.0, '5-19': 0.0, '20+': 0.0}
    """
    groups = popularity_groups(recommended.catalogue.counts[1:])
    places = np.bincount(groups, recommended.counts(k), len(POPULARITY_LABELS))
    shares = places / max(1.0, float(places.sum()))
    return dict(zip(POPULARITY_LABELS, shares.tolist(), strict=True))


def novelty_at(recommended: EvaluatedLists, k: int) -> float:
    """The mean of -log2(share of train users who took the item): 0 for what everybody took.

    An item that nobody took counts as if one user had. Here item 1 gives 0, items 2 and 3 log2(3):

    >>> novelty_at(example(), 2) == float(np.log2(3) / 2 + np.log2(3) / 2 + 0) / 3
    True
    """
    catalogue = recommended.catalogue
    taken_by = np.maximum(catalogue.users_of, 1)
    return recommended.mean_of(np.log2(catalogue.user_count / taken_by), k)


def diversity_at(recommended: EvaluatedLists, k: int) -> dict[str, float]:
    """How far apart a list's items are in their content: the mean of 1 - cosine over the pairs of a list.

    Pairs with an item without content are left out; a list without a pair counts 0. Here the first list's
    pair has cosine 0, the second's 3/5, and the third has no pair:

    >>> round(diversity_at(example(), 2)["text"], 7) == round((1 + 2 / 5 + 0) / 3, 7)
    True
    """
    contents, items = recommended.catalogue.contents, recommended.top(k)
    return {name: _diversity(items, vectors) for name, vectors in contents.items()}


def _diversity(items: NDArray[Any], vectors: NDArray[Any]) -> float:
    """The mean of 1 - cosine over the pairs of each list, (U, k); `vectors` (N + 1, C) have length 1 or 0."""
    own = squared_lengths(vectors)  # near 1 where there is content, else 0
    step = max(1, _VALUES_AT_ONCE // vectors.shape[1])
    total = 0.0
    for first in range(0, len(items), step):
        block = items[first : first + step]  # (B, k)
        sums = np.zeros((len(block), vectors.shape[1]))  # of each list's vectors, (B, C)
        for place in block.T:
            sums += vectors[place]
        known = (own[block] > 0).sum(axis=1)
        # |sum of vectors|² is the sum of the vectors' own |v|² plus twice the inner products of all pairs.
        # So all k (k - 1) / 2 cosines of a list are summed at the cost of adding up k vectors.
        together = np.square(sums).sum(axis=1) - own[block].sum(axis=1)
        pairs = known * (known - 1) / 2
        total += float(np.sum(np.where(pairs > 0, 1 - together / 2 / np.maximum(pairs, 1), 0.0)))
    return total / len(items) if len(items) else 0.0


def serendipity_at(recommended: EvaluatedLists, k: int) -> float:
    """How much higher the taken item stands in a user's list than popularity would place it.

    Place i among N items has the value p(i) = (N + 1 - i) / N. A hit at place i counts p(i) minus the value
    of the item's place by popularity, or 0 where that is negative, divided by the length of the list. Items
    with equal counts share a place by popularity; an item that was never taken has the value 0 there. Here
    user 1's hit, item 2, is second in the list and third by popularity: (4/5 - 3/5) / 2; user 3's hit is
    first in both: 0.

    >>> round(serendipity_at(example(), 2), 12) == round((1 / 5 / 2 + 0 + 0) / 3, 12)
    True
    """
    catalogue, items = recommended.catalogue, recommended.top(k)
    if len(items) == 0:
        return 0.0
    n = catalogue.item_count
    distinct = np.unique(catalogue.counts[catalogue.counts > 0])[::-1]  # the greatest count has place 1
    # 1 + the number of different greater counts. Example: the counts 5, 2, 2, 1 have the places 1, 2, 2, 3.
    place = 1 + np.searchsorted(-distinct, -catalogue.counts)
    worth = np.where(catalogue.counts > 0, (n + 1 - place) / n, 0.0)
    targets = recommended.targets[recommended.items[:, 0] != PADDING]
    # Places are numbered from 0 here, so the value of a hit's place is (N + 1 - (place + 1)) / N.
    users, places = np.nonzero(items == targets[:, None])
    gains = np.maximum((n - places) / n - worth[targets[users]], 0.0)
    lengths = np.count_nonzero(items, axis=1)
    return float(np.sum(gains / lengths[users]) / len(items))
