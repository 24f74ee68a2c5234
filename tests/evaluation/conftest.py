from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tssr.core.dataset import Histories, Queries


def _ask(histories: Sequence[Sequence[int]], targets: Sequence[int], item_count: int) -> Queries:
    lengths = np.array([len(history) for history in histories], dtype=np.int64)
    ends = np.cumsum(lengths)
    items = np.array([item for history in histories for item in history], dtype=np.int32)
    whole = Histories(items, ends - lengths, ends, item_count)
    return Queries(np.arange(len(targets), dtype=np.int32) + 5, whole, np.array(targets, dtype=np.int32))


@pytest.fixture(scope="session")
def ask() -> Callable[..., Queries]:
    """Queries from lists: histories, targets, item count."""
    return _ask
