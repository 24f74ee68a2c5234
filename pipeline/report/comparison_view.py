"""The view of a comparison: paired tests of one run against each other, and accuracy beside list metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...evaluation.measurement import Protocol
from ...evaluation.metrics import metric_title
from ...evaluation.statistics import PairedTest, against_each
from .shown_runs import FOCUS, Scope, ShownRun

TESTED = "ndcg"


@dataclass(frozen=True)
class TestedPair:
    """The focus against one other model; `difference` is the focus less the other."""

    other: str
    test: PairedTest

    @property
    def verdict(self) -> str:
        """What the test says, in words."""
        if self.test.adjusted >= 0.05:
            return "no difference shown"
        return "better" if self.test.difference > 0 else "worse"


@dataclass(frozen=True)
class TradeOff:
    """A run's accuracy beside what its lists show: the share of items, and how popular they are."""

    run: int
    label: str
    accuracy: float
    coverage: float
    popularity: float


@dataclass(frozen=True)
class ComparisonView:
    """Tests of the `focus`; `models` has each model's metrics over seeds where a comparison is shown."""

    focus: str
    metric: str
    tests: Sequence[TestedPair]
    seeds: int
    models: Mapping[str, Mapping[str, Any]]
    trade_offs: Sequence[TradeOff]
    k: int

    @property
    def widest(self) -> float:
        """The largest distance from 0 in the chart of differences."""
        ends = [abs(end) for pair in self.tests for end in (pair.test.low, pair.test.high)]
        return max([*ends, 1e-9])

    @property
    def metric_names(self) -> list[str]:
        """The metrics of a comparison over seeds."""
        return [name for model in list(self.models.values())[:1] for name in model["metrics"]]


def comparison_view(scope: Scope, headline: Sequence[str]) -> ComparisonView | None:
    """The tests a comparison made, or those between the report's runs; None where nothing was evaluated."""
    if not scope.evaluated:
        return None
    metric = headline[0]
    k = int(metric.partition("@")[2])
    trade_offs = _trade_offs(scope, metric, k)
    if scope.comparison is not None:
        record = scope.comparison
        tests = [TestedPair(name, PairedTest(**test)) for name, test in record["tests"].items()]
        seeds = max(len(entry["runs"]) for entry in record["contenders"].values())
        return ComparisonView(
            record["focus"] or "",
            metric_title(record["tested"]),
            tests,
            seeds,
            record["models"],
            trade_offs,
            k,
        )
    focus, tests = _test_runs(scope, k)
    return ComparisonView(focus, metric_title(metric), tests, 1, {}, trade_offs, k)


def _test_runs(scope: Scope, k: int) -> tuple[str, list[TestedPair]]:
    """Test one run, TSSR's where there is one, else the last, against the others."""
    runs = [run for run in scope.evaluated if "none" in run.measurements]
    if len(runs) < 2:
        return "", []
    focus = next((run for run in runs if run.plan.model == FOCUS), runs[-1])
    others = {run.label: {0: run.ranks} for run in runs if run is not focus and run.ranks is not None}
    assert focus.ranks is not None, "only evaluated runs are tested"
    tests = against_each({0: focus.ranks}, others, "none", k)
    return focus.label, [TestedPair(name, test) for name, test in tests.items()]


def _trade_offs(scope: Scope, metric: str, k: int) -> list[TradeOff]:
    """A point for each run whose metrics.json has list metrics; files of older versions have none."""
    found = []
    for place, run in enumerate(scope.runs):
        measurement = run.measurements.get("none")
        names = (metric, f"coverage@{k}", f"popularity@{k}")
        if measurement is not None and all(name in measurement.metrics for name in names):
            found.append(TradeOff(place, run.label, *(measurement.metrics[name] for name in names)))
    return found


def asked_alike(runs: Sequence[ShownRun]) -> bool:
    """Whether all runs were asked the same questions under each mask, so that their numbers compare."""
    first: dict[str, Protocol] = {}
    return all(
        first.setdefault(mask, one.protocol).asks_the_same_as(one.protocol)
        for run in runs
        for mask, one in run.measurements.items()
    )
