"""The view of the data: what preprocessing left, how actions spread, what content is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.dataset import Int64, LoadedDataset, remake
from ...core.schema import ITEMS, ITEMS_FILE, read_table
from ...core.workspace import WorkspaceFolders
from ...features.modality import MODALITIES
from ...features.store import list_stores

_MOST_BINS = 24


@dataclass(frozen=True)
class Bin:
    """One bar of a histogram: how many have low…high actions."""

    low: int
    high: int
    count: int

    @property
    def label(self) -> str:
        """The range as an axis shows it."""
        return f"{self.low:,}" if self.low == self.high else f"{self.low:,}\N{EN DASH}{self.high:,}"


@dataclass(frozen=True)
class ContentRow:
    """What content of one kind is there: `reasons` say why items have none, with how many."""

    kind: str
    source: str
    items: int
    present: int
    reasons: Mapping[str, int]


@dataclass(frozen=True)
class DataView:
    """All that the section on the data shows."""

    name: str
    split: str
    funnel: Sequence[Mapping[str, Any]]
    table_2: Mapping[str, Any]
    paper: Mapping[str, Any] | None
    per_user: Sequence[Bin]
    per_item: Sequence[Bin]
    content: Sequence[ContentRow]
    problems: Sequence[str]


def data_view(workspace: WorkspaceFolders, dataset: LoadedDataset) -> DataView:
    """Gather the view from the manifest, the tables and the feature stores."""
    manifest = dataset.info.manifest
    histories = dataset.histories
    by_time = "split by time: what came later is asked for" if dataset.info.by_time else ""
    return DataView(
        name=dataset.info.name,
        split=by_time or "leave-one-out: a user's last item is the test, the one before it the validation",
        funnel=manifest["funnel"],
        table_2=manifest["table_2"]["this"],
        paper=manifest["table_2"]["paper"],
        per_user=histogram_bins(histories.lengths),
        per_item=histogram_bins(histories.counts()[1:]),
        content=_content(workspace, dataset),
        problems=manifest["problems"]["lines"],
    )


def histogram_bins(counts: Int64) -> list[Bin]:
    """How many have so many actions: a bar each where that is few bars, else bars that widen by a factor.

    >>> [(bar.label, bar.count) for bar in histogram_bins(np.array([1, 3, 3]))]
    [('1', 1), ('2', 0), ('3', 2)]
    """
    low, high = int(counts.min()), int(counts.max())
    edges = [low]
    factor = 1.0 if high - low < _MOST_BINS else (max(high, 2) / max(low, 1)) ** (1 / (_MOST_BINS - 4))
    while edges[-1] <= high:
        edges.append(max(edges[-1] + 1, int(np.ceil(edges[-1] * factor))))
    found, _ = np.histogram(counts, bins=edges)
    # NumPy counts what equals the last edge in the last bar; the edge lies beyond `high`, so there is none.
    return [Bin(a, b - 1, int(n)) for a, b, n in zip(edges[:-1], edges[1:], found, strict=True)]


def _content(workspace: WorkspaceFolders, dataset: LoadedDataset) -> list[ContentRow]:
    """Texts and pictures that the table of items names, then what each feature store made of them."""
    info = dataset.info
    named = [modality for modality in MODALITIES.values() if modality.column in ITEMS.names]
    table = read_table(
        info.folder / ITEMS_FILE, ITEMS, cure=remake(info.name), columns=[m.column for m in named]
    )
    rows = []
    for modality in named:
        missing = table[modality.column].null_count
        if missing < len(table):
            reasons = {"not named": missing} if missing else {}
            rows.append(
                ContentRow(modality.name, "table of items", len(table), len(table) - missing, reasons)
            )
    for store in list_stores(workspace.features(info.name)):
        missing = store.manifest["missing"]
        present = store.items - store.missing
        rows.append(ContentRow(store.modality, store.name, store.items, present, missing))
    return rows
