"""What a comparison has found: a table, Markdown and LaTeX to print, CSV and JSON to compute with."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from ...core.schema import SELECTION_METRIC
from ...core.settings import as_options
from ...evaluation.comparison import Comparison
from ...evaluation.measurement import Measurement
from ...evaluation.metrics import metric_title
from ...evaluation.ranking import Ranks
from ...evaluation.settings import By
from ...evaluation.slices import TITLES
from ...evaluation.statistics import CONFIDENCE, PairedTest
from ...evaluation.tables import BOLD, aligned, csv_table, latex_table, markdown_table
from .contenders import Contender
from .training_pool import TrainedRun

HOW_TESTED = (
    "Paired by user, averaged over seeds. p: sign-flip permutation test, then Holm's correction over this "
    "table; interval: bootstrap over users. These take the trained runs as they are. How much other "
    "trainings would differ is the standard error of the difference over seeds; p, all: a normal test with "
    "the sum of both variances, over users and over seeds, without a correction."
)
_MIB = 1 << 20
_NONE = "\N{EN DASH}"  # what a table shows for nothing


@dataclass(frozen=True)
class MeasuredContender:
    """A contender's runs: every trial's at the first seed; the chosen one's, measured, at each seed.

    For lists that were given there are no runs, and `choice` is None.
    """

    contender: Contender
    tried: Sequence[TrainedRun]
    choice: int | None
    runs: Sequence[TrainedRun]
    measured: Sequence[Mapping[str, Any]]  # what `evaluate` reports of each run
    ranks: Mapping[int, Ranks]  # by seed, counted from 0; what needs no training has the same at each
    lost: int = 0  # how many seeds of the chosen one diverged

    @property
    def chosen(self) -> dict[str, Any]:
        """The values chosen among those tried."""
        return {} if self.choice is None else self.contender.trials[self.choice].values

    def measurements(self, mask: str) -> list[Measurement]:
        """What was measured under a mask, one a seed."""
        records = [record for report in self.measured for record in report["measurements"]]
        return [Measurement.from_record(record) for record in records if record["protocol"]["mask"] == mask]

    def cost(self, name: str) -> float | None:
        """The mean over seeds of one of the costs that training reports; None where it did not."""
        values = [run.result[name] for run in self.runs if name in run.result]
        return fmean(values) if values else None

    def record(self) -> dict[str, Any]:
        """Plain JSON values: all that was tried, what was chosen, and the runs with their commands."""
        tried = [
            {
                "values": trial.values,
                SELECTION_METRIC: run.result.get(SELECTION_METRIC),
                "diverged": run.diverged,
                "run": run.folder.name,
            }
            for trial, run in zip(self.contender.trials, self.tried, strict=True)
        ]
        runs = [
            {"run": run.folder.name, "command": shlex.join(run.command), "result": run.result}
            for run in self.runs
        ]
        return {"model": self.contender.model, "chosen": self.chosen, "tried": tried, "runs": runs}


@dataclass(frozen=True)
class ComparisonReport:
    """The comparison, the focus tested against each other model, and metrics by slice where asked for.

    `tests` are of the metric `tested`; `slices` has for each model its metrics by slice of the users, told
    apart as `by` says.
    """

    dataset: str
    settings: Mapping[str, Any]
    compared: Sequence[MeasuredContender]
    comparison: Comparison
    tested: str
    tests: Mapping[str, PairedTest]
    by: By | None
    slices: Mapping[str, Mapping[str, Mapping[str, float]]]
    left_out: Mapping[str, str] = field(default_factory=dict)  # models that diverged, in what words
    unlike: Sequence[str] = ()  # sentences on how the models' runs were made differently

    @property
    def title(self) -> str:
        """The headline."""
        return f"{len(self.compared)} models on {self.dataset}"

    @property
    def columns(self) -> list[str]:
        """Headers of `rows`."""
        return [*self.comparison.columns, "parameters", "time", "peak memory"]

    def rows(self, bold: str = "{}") -> list[list[str]]:
        """The main table; `bold` is how the best of a column is written."""
        costs = [_cost_cells(one) for one in self.compared]
        rows = self.comparison.rows(bold.format)
        return [[*row, *(costs[i] if i < len(costs) else ["", "", ""])] for i, row in enumerate(rows)]

    def notes(self) -> list[str]:
        """What to know beside the main table, one line each."""
        if self.by is None:
            return self._remarks()
        columns, rows = self.slices_table()
        return [*self._remarks(), f"{TITLES[self.by]}:", *aligned([columns, *rows])]

    def _remarks(self) -> list[str]:
        notes = [self.comparison.note()]
        for one in self.compared:
            listed = one.measurements(self.comparison.protocol.mask)[0].protocol.listed
            if listed is not None:
                notes.append(f"{one.contender.name}: the lists given, truncated at {listed:,} items")
            name, diverged = one.contender.name, sum(run.diverged is not None for run in one.tried)
            if one.chosen:
                of = f"{len(one.tried)}" + (f" ({diverged} diverged)" if diverged else "")
                notes.append(f"{name} chose {as_options(one.chosen)} of {of} on validation")
            if one.lost:
                notes.append(
                    f"{name}: {one.lost} of {len(one.runs) + one.lost} seeds diverged and are left out"
                )
            if other := one.contender.same_as:
                notes.append(f"{name} is another name of {other}; one training serves both")
        notes += [f"{name} diverged and is not in the table: {why}" for name, why in self.left_out.items()]
        notes += self.unlike
        best = self.comparison.best_other(self.tested)
        if best is not None and best in self.tests:
            test = self.tests[best].describe()
            notes.append(f"{metric_title(self.tested)} of {self.comparison.focus} against {best}: {test}")
        return notes

    def markdown(self) -> str:
        """All of it as Markdown."""
        parts = [f"# {self.title}\n", markdown_table(self.columns, self.rows(BOLD))]
        parts.append("\n\n".join(self._remarks()) + "\n")
        if self.tests:
            title = f"## {metric_title(self.tested)} of {self.comparison.focus} against each\n"
            parts += [title, markdown_table(*self._tests()), f"{HOW_TESTED}\n"]
        if self.by is not None:
            parts += [f"## {TITLES[self.by]}\n", markdown_table(*self.slices_table())]
        if any(one.chosen for one in self.compared):
            parts += ["## Tried on validation\n", markdown_table(*self._choices())]
        return "\n".join(parts)

    def latex(self) -> str:
        """The main table as LaTeX."""
        return latex_table(self.columns, self.rows(BOLD))

    def csv(self) -> str:
        """One row of plain numbers a model."""
        records = self.records()
        return csv_table(list(records[0]), [list(record.values()) for record in records])

    def records(self) -> list[dict[str, object]]:
        """One row of plain numbers a model, by column."""
        comparison, names = self.comparison, self.comparison.names
        costs = ("parameters", "seconds", "peak_memory", "peak_gpu_memory")
        columns = ["model", "seeds", *names, *(f"{name}_deviation" for name in names), *costs]
        records: list[dict[str, object]] = []
        for one in self.compared:
            model = one.contender.name
            means = [comparison.mean(model, name) for name in names]
            deviations = [comparison.deviation(model, name) for name in names]
            values = [model, len(one.runs), *means, *deviations, *(one.cost(name) for name in costs)]
            records.append(dict(zip(columns, values, strict=True)))
        return records

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "stage": "compare",
            "dataset": self.dataset,
            "settings": self.settings,
            **self.comparison.record(),
            "tested": self.tested,
            "tests": {name: test.record() for name, test in self.tests.items()},
            "by": self.by,
            "slices": self.slices,
            "left_out": self.left_out,
            "unlike": list(self.unlike),
            "contenders": {one.contender.name: one.record() for one in self.compared},
        }

    def slices_table(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows of the metrics by slice: one row a model and metric."""
        slices = next(iter(self.slices.values()))
        users = [f"{label}: {int(metrics['queries']):,} users" for label, metrics in slices.items()]
        rows = [
            [model, metric_title(name), *(f"{metrics[name]:.4f}" for metrics in found.values())]
            for model, found in self.slices.items()
            for name in self.comparison.names
        ]
        return ["model", "metric", *users], rows

    def _tests(self) -> tuple[list[str], list[list[str]]]:
        columns = [
            "model",
            "difference",
            f"{CONFIDENCE:.0%} interval",
            "p",
            "p after Holm",
            "error over seeds",
            "p, all",
        ]
        rows = [
            [
                name,
                f"{t.difference:+.4f}",
                f"{t.low:+.4f} to {t.high:+.4f}",
                f"{t.p_value:.2g}",
                f"{t.adjusted:.2g}",
                _NONE if t.seed_error is None else f"{t.seed_error:.4f}",
                _NONE if t.p_all is None else f"{t.p_all:.2g}",
            ]
            for name, t in self.tests.items()
        ]
        return columns, rows

    def _choices(self) -> tuple[list[str], list[list[str]]]:
        rows = []
        for one in self.compared:
            for place, (trial, run) in enumerate(zip(one.contender.trials, one.tried, strict=True)):
                value = "diverged" if run.diverged else f"{run.result[SELECTION_METRIC]:.4f}"
                shown = BOLD.format(value) if place == one.choice else value
                rows.append([one.contender.name, as_options(trial.values) or _NONE, shown])
        return ["model", "options", "validation NDCG@10"], rows


def _cost_cells(one: MeasuredContender) -> list[str]:
    parameters, seconds = one.cost("parameters"), one.cost("seconds")
    memory, on_gpu = one.cost("peak_memory"), one.cost("peak_gpu_memory")
    return [
        _NONE if parameters is None else f"{parameters:,.0f}",
        _NONE if seconds is None else f"{seconds:,.0f} s",
        _NONE
        if memory is None
        else f"{memory / _MIB:,.0f} MiB" + ("" if on_gpu is None else f", GPU {on_gpu / _MIB:,.0f} MiB"),
    ]
