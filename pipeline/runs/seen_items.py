"""A note below lists of items that their users have already, on data that hardly hold a repeated action."""

from __future__ import annotations

import numpy as np

from ...core.dataset import Histories, LoadedDataset
from ...evaluation.recommending import RecommendedLists

# Below this share of repeats among the actions, few people want seen items in a list. Ratings and reviews
# have none at all (MovieLens-1M and three Amazon sets: 0), purchases many (a sample of H&M: 13 %).
HARDLY_ANY = 0.01
_LOOKED_AT = 100_000  # users whose actions are counted; more would change the share by next to nothing


def seen_items_note(dataset: LoadedDataset, asked: Histories, lists: RecommendedLists) -> list[str]:
    """A line on seen items in the lists, with the option that leaves them out; [] where it is not needed."""
    share = _share_of_repeats(dataset.histories.part(0, min(_LOOKED_AT, len(dataset.histories))))
    if share >= HARDLY_ANY:
        return []
    seen = sum(
        bool(np.isin(listed, asked.items[start:end]).any())
        for listed, start, end in zip(lists.items, asked.starts, asked.ends, strict=True)
    )
    if not seen:
        return []
    return [
        f"{seen:,} of {len(asked):,} lists hold items that the user has already, though {share:.1%} of the "
        f"actions in {dataset.info.name} are repeats; --mask hard leaves them out"
    ]


def _share_of_repeats(histories: Histories) -> float:
    """The share of actions on an item that the same user had taken before."""
    actions = int(histories.lengths.sum())
    return 1 - len(histories.distinct()[0]) / actions if actions else 0.0
