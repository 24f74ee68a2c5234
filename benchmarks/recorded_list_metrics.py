"""Print what RecTools measures of fixed lists; tests/evaluation/test_list_metrics.py has the numbers.

    pip install RecTools
    python benchmarks/recorded_list_metrics.py

Lists, actions and content are drawn from a seed; the test calls `drawn` too, which needs numpy alone.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

USERS, ITEMS, PLACES, WIDTH = 40, 60, 10, 5
TOPK = (1, 5, 10)

Drawn = dict[str, NDArray[Any]]


def drawn() -> Drawn:
    """Train actions (user, item), lists (U, K), targets (U,) and content vectors (N + 1, WIDTH)."""
    draw = np.random.default_rng(16)
    weights = 1 / np.arange(1, ITEMS - 4)  # items 56 to 60 are never taken in training
    actions = draw.choice(np.arange(1, ITEMS - 4), 400, p=weights / weights.sum())
    lists = np.stack([draw.choice(ITEMS, PLACES, replace=False) + 1 for _ in range(USERS)])
    hits = lists[np.arange(USERS), draw.integers(0, PLACES, USERS)]
    targets = np.where(draw.random(USERS) < 0.6, hits, draw.integers(1, ITEMS + 1, USERS))
    contents = draw.standard_normal((ITEMS + 1, WIDTH))
    return {
        "users": draw.integers(0, USERS, 400),
        "items": actions,
        "lists": lists,
        "targets": targets,
        "contents": contents,
    }


def measured(data: Drawn) -> dict[str, float]:
    """What RecTools says of the lists."""
    import pandas as pd
    from rectools import Columns
    from rectools.metrics import (
        AvgRecPopularity,
        CatalogCoverage,
        IntraListDiversity,
        MeanInvUserFreq,
        Serendipity,
    )

    users, places = np.indices(data["lists"].shape)
    reco = pd.DataFrame(
        {
            Columns.User: users.ravel(),
            Columns.Item: data["lists"].ravel(),
            Columns.Rank: places.ravel() + 1,
        }
    )
    previous = pd.DataFrame({Columns.User: data["users"], Columns.Item: data["items"]})
    taken = pd.DataFrame({Columns.User: np.arange(USERS), Columns.Item: data["targets"]})
    catalogue = np.arange(1, ITEMS + 1)
    unit = data["contents"] / np.linalg.norm(data["contents"], axis=1, keepdims=True)

    class Cosine:
        """Distances 1 - cosine, as the calculators of RecTools give theirs."""

        def __getitem__(self, pair: tuple[NDArray[Any], NDArray[Any]]) -> NDArray[Any]:
            one, other = pair
            distances: NDArray[Any] = 1 - (unit[one.astype(int)] * unit[other.astype(int)]).sum(axis=1)
            return distances

    found = {}
    for k in TOPK:
        found[f"coverage@{k}"] = CatalogCoverage(k, normalize=True).calc(reco, catalogue)
        found[f"popularity@{k}"] = AvgRecPopularity(k).calc(reco, previous)
        found[f"novelty@{k}"] = MeanInvUserFreq(k).calc(reco, previous)
        found[f"diversity[text]@{k}"] = IntraListDiversity(k, Cosine()).calc(reco)
        found[f"serendipity@{k}"] = Serendipity(k).calc(reco, taken, previous, catalogue)
    return {name: float(value) for name, value in found.items()}


if __name__ == "__main__":
    print(json.dumps(measured(drawn()), indent=1))
