from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tssr.core.dataset import Histories, Queries


def _ask(histories: Sequence[Sequence[int]], targets: Sequence[int], item_count: int) -> Queries:
    lengths = np.array([len(history) for history in histories], dtype=np.int64)
    ends = np.cumsum(lengths)
    items = np.array([item for history in histories for item in history], dtype=np.int32)
    whole = Histories(items, ends - lengths, ends, item_count)
    return Queries(np.arange(len(targets), dtype=np.int32) + 5, whole, np.array(targets, dtype=np.int32))


def _brute_force(scores: NDArray, queries: Queries, mask: str, window: int, depth: float) -> NDArray:
    ranks = []
    histories = queries.histories
    for q, target in enumerate(queries.targets):
        history = histories.items[histories.starts[q] : histories.ends[q]].tolist()
        hidden = {"none": set(), "exempt": set(history[-window:]) - {target}, "hard": set(history)}[mask]
        goal = scores[q, target - 1]
        others = [s for i, s in enumerate(scores[q], start=1) if i != target and i not in hidden]
        rank = 1 + sum(s > goal for s in others) + 0.5 * sum(s == goal for s in others)
        ranks.append(np.nan if target in hidden or rank >= depth + 1 else rank)
    return np.array(ranks)


@pytest.fixture(scope="session")
def ask() -> Callable[..., Queries]:
    """Queries from lists: histories, targets, item count."""
    return _ask


@pytest.fixture(scope="session")
def brute_force() -> Callable[..., NDArray]:
    """Ranks by the definition, one query after another: exact scores (Q, N), queries, mask, window, depth."""
    return _brute_force
