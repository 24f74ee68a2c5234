"""From ranks and lists to the contents of metrics.json: metrics under each mask, and by slices of users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.dataset import LoadedDataset, Queries, load_times
from ...core.workspace import WorkspaceFolders
from ...evaluation.list_metrics import EvaluatedLists, ItemStatistics
from ...evaluation.measurement import Measurement, Protocol, Targets
from ...evaluation.metrics import RankCounts, measure_lists
from ...evaluation.ranking import Ranks
from ...evaluation.settings import EvaluateSettings, Mask
from ...evaluation.slices import slice_queries
from ...features.store import StoreInfo, list_stores, open_store

VERSION = 3  # raised when metrics.json changes for the same ranks, so that older files are made again


@dataclass(frozen=True)
class EvaluationTask:
    """The queries of a split, with what is needed to measure a model's or another system's answers.

    `window` is the number of actions that the mask `exempt` uses. `listed` is the length of the longest list
    where lists of limited length are measured, and None where all items were ranked.
    """

    dataset: LoadedDataset
    queries: Queries
    settings: EvaluateSettings
    window: int
    contents: list[StoreInfo]
    listed: int | None = None

    def protocol(self, mask: Mask, queries: int, targets: Targets = "all") -> Protocol:
        """The conditions of a number that is a mean over so many queries."""
        split, info = self.settings.split, self.dataset.info
        return Protocol(
            split=f"time {split}" if info.by_time else split,
            queries=queries,
            candidates=info.item_count,
            mask=mask,
            window=self.window if mask == "exempt" else None,
            targets=targets,
            cold_items="from content" if self.settings.cold_items else "as trained",
            cold_bonus=self.settings.cold_bonus,
            listed=self.listed,
        )


def metrics_record(ranks: Ranks, task: EvaluationTask) -> dict[str, Any]:
    """All metrics as plain JSON values; `ranks` are of all queries, in their order."""
    cold = task.dataset.split().cold_items()
    # `cold` has item i at place i - 1.
    is_cold = cold[ranks.targets - 1]
    everyone = _measurements(ranks, task, {"all": np.ones_like(is_cold)})
    lists = _of_lists(ranks, task)
    for measurement in everyone:
        measurement["metrics"] |= lists[measurement["protocol"]["mask"]]
    return {
        "version": VERSION,
        "depth": task.settings.depth,
        "measurements": everyone,
        "cold": {"items": int(cold.sum()), "targets": int(is_cold.sum())},
        "by_target": _measurements(ranks, task, {"warm": ~is_cold, "cold": is_cold}),
        "slices": _slices(ranks, task),
    }


def _measurements(
    ranks: Ranks, task: EvaluationTask, groups: Mapping[Targets, NDArray[np.bool_]]
) -> list[dict[str, Any]]:
    """A measurement for each mask and each group of queries, (Q,) bool, that is not empty."""
    measurements = []
    for targets, asked in groups.items():
        for mask in task.settings.mask if asked.any() else ():
            counts = RankCounts.of(ranks.by_mask[mask][asked], ranks.depth)
            protocol = task.protocol(mask, counts.queries, targets)
            measurements.append(Measurement(protocol, counts.metrics(task.settings.topk)).record())
    return measurements


def _of_lists(ranks: Ranks, task: EvaluationTask) -> dict[Mask, dict[str, float]]:
    contents = {store.modality: open_store(store).item_features()[0] for store in task.contents}
    # Whatever the run was trained on, lists are measured against the train split of all users.
    catalogue = ItemStatistics.of(task.dataset.split().train, contents)
    return {
        mask: measure_lists(EvaluatedLists(lists, ranks.targets, catalogue), task.settings.topk)
        for mask, lists in ranks.lists.items()
    }


def _slices(ranks: Ranks, task: EvaluationTask) -> dict[str, list[dict[str, Any]]]:
    """Metrics of each slice under each mask, by the name of the slicing."""
    counts = task.dataset.split().train.counts()
    slicings = slice_queries(task.queries, counts, load_times(task.dataset.info))
    return {
        by: [
            {"mask": mask, **slice_}
            for mask in task.settings.mask
            for slice_ in slicing.measure(ranks.by_mask[mask], ranks.depth, task.settings.topk)
        ]
        for by, slicing in slicings.items()
    }


def diversity_stores(workspace: WorkspaceFolders, dataset: str, read: list[StoreInfo]) -> list[StoreInfo]:
    """The store of each modality from which the diversity of lists is computed, in the order of their names.

    For a modality that the model has `read`, this is the model's own store. For another modality it is the
    data set's only store, so that models with and without content are measured alike; where there are
    several stores, that modality is left out.
    """
    chosen = {store.modality: store for store in read if store.kind == "vectors"}
    others: dict[str, list[StoreInfo]] = {}
    for store in list_stores(workspace.features(dataset)):
        if store.kind == "vectors" and store.modality not in chosen:
            others.setdefault(store.modality, []).append(store)
    chosen |= {modality: stores[0] for modality, stores in others.items() if len(stores) == 1}
    return [chosen[modality] for modality in sorted(chosen)]
