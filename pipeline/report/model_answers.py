"""What the report computes with trained models: lists for some users, item vectors, the gate's shares.

Each model is loaded once. Shapes: U users, K places of a list, L steps, N items, D width, S streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.dataset import Int32, Int64, LoadedDataset, Queries
from ...core.device import choose_device
from ...core.float32 import full_float32
from ...evaluation.recommending import recommend
from ..runs.readings import REPORT, record_test_reading
from ..runs.trained_model import trained_model
from .shown_runs import ShownRun

if TYPE_CHECKING:
    from ...model.recommender import SequenceRecommender
    from ...model.tssr import TSSR

LISTED = 10  # items of a list
_WINDOWS_AT_ONCE = 512

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class GateShares:
    """The gate's mean share of each stream, (W, L, S), for the windows (W, L) it was given."""

    streams: Sequence[str]
    windows: Int64
    shares: Float32


@dataclass(frozen=True)
class ModelAnswers:
    """The outputs of one run's model; `learned` are its learned item vectors (N, D), or None."""

    lists: Int32
    learned: Float32 | None
    gate: GateShares | None


def ask_model(
    run: ShownRun, dataset: LoadedDataset, listed: Queries, gated: Queries, device: str
) -> ModelAnswers:
    """Load the run's model and ask it for the lists of some users, and its gate about others."""
    from ...model.recommender import SequenceRecommender
    from ...model.tssr import TSSR
    from ..runs.scorer import scorer_of

    record_test_reading(run.folder, REPORT)
    model = trained_model(run.folder, run.plan, dataset, device)
    where = str(choose_device(device))
    lists = recommend(listed.histories, scorer_of(model, listed), LISTED, device=where).items
    anything: object = model
    learned = learned_vectors(anything) if isinstance(anything, SequenceRecommender) else None
    gate = _gate_shares(anything, run, gated) if isinstance(anything, TSSR) else None
    return ModelAnswers(lists, learned, gate)


def learned_vectors(model: SequenceRecommender) -> Float32 | None:
    """The learned vectors of items 1…N by which a model reads histories; None where it has none."""
    from ...model.inputs import ItemVectors

    tables = [part.table for part in model.modules() if isinstance(part, ItemVectors)]
    if not tables:
        return None
    item_count = len(model.items()[1])  # a table may have further tokens after the items
    vectors: Float32 = tables[0].weight[1 : item_count + 1].detach().float().cpu().numpy()
    return vectors


@full_float32()
def _gate_shares(model: TSSR, run: ShownRun, queries: Queries) -> GateShares | None:
    import torch

    from ...model.batches import newest

    device = model.head.bias.device
    windows, shares = [], []
    for low in range(0, len(queries), _WINDOWS_AT_ONCE):
        part = newest(queries.histories, low, min(low + _WINDOWS_AT_ONCE, len(queries)), model.length)
        with torch.inference_mode():
            share = model.gate_shares(part.to(device))
        if share is None:
            return None
        windows.append(part.numpy())
        shares.append(share.float().cpu().numpy())
    if not windows:
        return None
    streams = ["ids", *(store.modality for store in run.plan.stores)]
    return GateShares(streams, np.concatenate(windows), np.concatenate(shares))
