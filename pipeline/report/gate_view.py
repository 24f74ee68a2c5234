"""The view of TSSR's gate: the share of each stream in the merged state, by item popularity and by place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.dataset import Int64
from ...core.popularity import POPULARITY_LABELS, popularity_groups
from ...core.schema import PADDING
from .model_answers import GateShares

WINDOWS = 2_000  # randomly drawn histories over which the shares are averaged


@dataclass(frozen=True)
class GateRow:
    """The streams' mean shares over `steps` steps; they add up to 1."""

    label: str
    steps: int
    shares: Sequence[float]


@dataclass(frozen=True)
class GateView:
    """One run's gate. Places count back from the newest item, which is 1."""

    run: int
    label: str
    streams: Sequence[str]
    histories: int
    overall: GateRow
    by_popularity: Sequence[GateRow]
    by_place: Sequence[GateRow]


def gate_view(place: int, label: str, gate: GateShares, train_counts: Int64) -> GateView:
    """Average the shares; `train_counts` are train actions by item number, (N + 1,)."""
    real = gate.windows != PADDING  # (W, L)
    groups = popularity_groups(train_counts)[gate.windows]
    length = gate.windows.shape[1]
    by_popularity = [
        _row(name, gate, real & (groups == index)) for index, name in enumerate(POPULARITY_LABELS)
    ]
    steps = np.broadcast_to(np.arange(length), real.shape)
    by_place = [_row(_place(back), gate, real & (steps == length - back)) for back in range(1, length + 1)]
    return GateView(
        run=place,
        label=label,
        streams=gate.streams,
        histories=len(gate.windows),
        overall=_row("all steps", gate, real),
        by_popularity=[row for row in by_popularity if row.steps],
        by_place=[row for row in by_place if row.steps],
    )


def _row(label: str, gate: GateShares, chosen: NDArray[np.bool_]) -> GateRow:
    steps = int(chosen.sum())
    if steps == 0:
        return GateRow(label, 0, [])
    return GateRow(label, steps, gate.shares[chosen].mean(axis=0, dtype=np.float64).tolist())


def _place(back: int) -> str:
    """A place in the window.

    >>> _place(1), _place(3)
    ('newest', '3rd newest')
    """
    endings = {1: "newest", 2: "2nd newest", 3: "3rd newest"}
    return endings.get(back, f"{back}th newest")
