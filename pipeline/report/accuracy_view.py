"""The view of accuracy: metrics with bootstrap intervals, under each history mask and on each slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.dataset import LoadedDataset, load_times
from ...evaluation.measurement import Protocol
from ...evaluation.metrics import RANK_METRICS, metric_title
from ...evaluation.ranking import Ranks
from ...evaluation.settings import By, Mask
from ...evaluation.slices import TITLES, Slicing, slice_queries
from ...evaluation.statistics import MeanInterval, mean_interval
from .shown_runs import Scope, ShownRun
from .words import MASK_TITLES, in_plain_words

HEADLINE = ("ndcg", "recall")  # what slices show, at the shortest list measured


@dataclass(frozen=True)
class MeasuredRun:
    """A run's metrics by name; `run` is its place in the report."""

    run: int
    label: str
    metrics: Mapping[str, MeanInterval]


@dataclass(frozen=True)
class Slice:
    """The users of one slice, and what each run reached for them."""

    label: str
    users: int
    runs: Sequence[MeasuredRun]


@dataclass(frozen=True)
class SlicedBy:
    """One way to tell the users apart."""

    by: str
    title: str
    slices: Sequence[Slice]


@dataclass(frozen=True)
class MaskView:
    """Everything under one history mask; `protocol` is the sentence that stands beside the numbers."""

    mask: Mask
    title: str
    protocol: str
    metrics: Sequence[str]
    runs: Sequence[MeasuredRun]
    sliced: Sequence[SlicedBy]

    def best_run(self, metric: str) -> MeasuredRun:
        """The run with the best mean of a metric, the first of equals."""
        return max(self.runs, key=lambda run: run.metrics[metric].mean)

    def top(self, metric: str) -> float:
        """Where the scale of a metric's picture ends: the highest end of an interval over all users."""
        return max([run.metrics[metric].high for run in self.runs] + [1e-9])

    def highest(self, metric: str) -> float:
        """The same with the slices."""
        slices = [part for sliced in self.sliced for part in sliced.slices]
        everyone = [*self.runs, *(run for part in slices for run in part.runs)]
        return max([run.metrics[metric].high for run in everyone if metric in run.metrics] + [1e-9])


@dataclass(frozen=True)
class AccuracyView:
    """One view a mask, in the order in which they were measured; `headline` are the metrics of pictures."""

    masks: Sequence[MaskView]
    headline: Sequence[str]
    not_evaluated: Sequence[ShownRun]

    @property
    def titles(self) -> dict[str, str]:
        """Metrics as tables name them."""
        names = {name for mask in self.masks for name in mask.metrics}
        return {name: metric_title(name) for name in names}


def accuracy_view(scope: Scope, dataset: LoadedDataset) -> AccuracyView:
    """Read the ranks of the evaluated runs and measure them; nothing is ranked anew."""
    waiting = [run for run in scope.runs if run not in scope.evaluated]
    if not scope.evaluated:
        return AccuracyView([], [], waiting)
    topk = _common_topk(scope.evaluated)
    headline = [f"{name}@{topk[0]}" for name in HEADLINE]
    times = load_times(dataset.info)
    slicings = slice_queries(dataset.split().test, dataset.split().train.counts(), times)
    masks = [
        _mask_view(scope, mask, protocol, topk, slicings) for mask, protocol in scope.protocols().items()
    ]
    return AccuracyView([view for view in masks if view.runs], headline, waiting)


def _common_topk(runs: Sequence[ShownRun]) -> list[int]:
    """The list lengths that every run was measured at; else those of any."""
    lengths = [
        {int(name.partition("@")[2]) for m in run.measurements.values() for name in m.metrics} for run in runs
    ]
    return sorted(set.intersection(*lengths) or set.union(*lengths))


def _mask_view(
    scope: Scope, mask: Mask, protocol: Protocol, topk: Sequence[int], slicings: Mapping[By, Slicing]
) -> MaskView:
    names = [f"{name}@{k}" for name in ("recall", "ndcg", "mrr") for k in topk]
    headline = [f"{name}@{topk[0]}" for name in HEADLINE]
    measured = [(place, run) for place, run in enumerate(scope.runs) if mask in run.measurements]
    sliced = [
        SlicedBy(by, TITLES[by], _slices(measured, mask, slicing, headline))
        for by, slicing in slicings.items()
    ]
    return MaskView(
        mask=mask,
        title=MASK_TITLES[mask],
        protocol=in_plain_words(protocol),
        metrics=names,
        runs=[_measured(place, run, mask, names) for place, run in measured],
        sliced=[one for one in sliced if len(one.slices) > 1],
    )


def _slices(
    runs: Sequence[tuple[int, ShownRun]], mask: Mask, slicing: Slicing, names: Sequence[str]
) -> list[Slice]:
    slices = []
    for index, label in enumerate(slicing.labels):
        asked = slicing.place == index
        if asked.any():
            measured = [_measured(place, run, mask, names, asked) for place, run in runs]
            slices.append(Slice(label, int(asked.sum()), measured))
    return slices


def _measured(
    place: int,
    run: ShownRun,
    mask: Mask,
    names: Sequence[str],
    asked: NDArray[np.bool_] | None = None,
) -> MeasuredRun:
    """A run's metrics over all users, or over those `asked`, (Q,)."""
    ranks = _ranks_under(run.ranks, mask)
    chosen = ranks if asked is None else ranks[asked]
    values = {}
    for name in names:
        metric, _, k = name.partition("@")
        values[name] = mean_interval(RANK_METRICS[metric].gain(chosen, int(k)))
    return MeasuredRun(place, run.label, values)


def _ranks_under(ranks: Ranks | None, mask: Mask) -> NDArray[np.float64]:
    assert ranks is not None, "only evaluated runs are measured"
    return ranks.by_mask[mask]
