"""Several models side by side under one protocol, over one or more seeds each, with their gains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from ..core.errors import UsageError
from .measurement import Measurement, Protocol
from .metrics import metric_title
from .tables import BOLD, markdown_table

_METRICS = ("recall", "ndcg")


@dataclass(frozen=True)
class Comparison:
    """Metrics of several models, by model and by name, one value a seed; all measured under `protocol`.

    Every model's gain is relative to the `reference`; the gain of the `focus` is also given over the best
    other model.
    """

    protocol: Protocol
    values: Mapping[str, Mapping[str, Sequence[float]]]
    reference: str | None
    focus: str | None

    @property
    def names(self) -> list[str]:
        """The metrics by name, such as recall@10."""
        return list(next(iter(self.values.values())))

    @property
    def columns(self) -> list[str]:
        """Headers of `rows`."""
        return ["model", *map(metric_title, self.names)]

    def mean(self, model: str, name: str) -> float:
        """A metric's mean over the seeds."""
        return fmean(self.values[model][name])

    def deviation(self, model: str, name: str) -> float | None:
        """A metric's standard deviation over the seeds; None where there is one seed."""
        values = self.values[model][name]
        return stdev(values) if len(values) > 1 else None

    def gain(self, model: str, name: str, over: str) -> float | None:
        """How much greater a metric is than another model's, as a share of it; None where that is 0."""
        base = self.mean(over, name)
        return self.mean(model, name) / base - 1 if base > 0 else None

    def best_other(self, name: str) -> str | None:
        """The best model by a metric, the focus left out; None where the focus is alone."""
        others = [model for model in self.values if model != self.focus]
        return max(others, key=lambda model: self.mean(model, name), default=None)

    def rows(self, mark_best: Callable[[str], str] = str) -> list[list[str]]:
        """One row a model: each metric ± deviation, and the gain over the reference in brackets.

        `mark_best` is applied to the best of each column. Where there is a focus, a last row has its gain
        over the best other model.
        """
        best = {name: max(self.mean(model, name) for model in self.values) for name in self.names}
        rows = []
        for model in self.values:
            cells = {name: self._cell(model, name) for name in self.names}
            cells |= {
                name: mark_best(cell) for name, cell in cells.items() if self.mean(model, name) == best[name]
            }
            rows.append([model, *cells.values()])
        return rows + self._last_row()

    def _cell(self, model: str, name: str) -> str:
        deviation = self.deviation(model, name)
        spread = "" if deviation is None else f" ± {deviation:.4f}"
        over = self.reference
        gain = None if over is None or over == model else self.gain(model, name, over)
        return f"{self.mean(model, name):.4f}{spread}" + ("" if gain is None else f" ({gain:+.1%})")

    def _last_row(self) -> list[list[str]]:
        if self.focus is None or len(self.values) == 1:
            return []
        cells = []
        for name in self.names:
            other = self.best_other(name)
            gain = None if other is None else self.gain(self.focus, name, other)
            cells.append("" if gain is None else f"{gain:+.1%} ({other})")
        return [[f"{self.focus} over the best other", *cells]]

    def note(self) -> str:
        """What the numbers mean, in one line."""
        seeds = max(len(values[self.names[0]]) for values in self.values.values())
        over_seeds = f"Mean ± standard deviation over {seeds} seeds. " if seeds > 1 else ""
        gains = f"In brackets: gain over {self.reference}. " if self.reference is not None else ""
        return f"{over_seeds}{gains}{self.protocol.describe()}."

    def markdown(self) -> str:
        """The table and its protocol as Markdown, the best of each column in bold."""
        return f"{markdown_table(self.columns, self.rows(BOLD.format))}\n{self.note()}\n"

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "protocol": self.protocol.describe(),
            "reference": self.reference,
            "focus": self.focus,
            "models": {model: self._record(model) for model in self.values},
        }

    def _record(self, model: str) -> dict[str, Any]:
        record: dict[str, Any] = {
            "metrics": {name: self.mean(model, name) for name in self.names},
            "deviation": {name: self.deviation(model, name) for name in self.names},
            "seeds": {name: list(self.values[model][name]) for name in self.names},
        }
        if self.reference is not None:
            record["gain"] = {name: self.gain(model, name, self.reference) for name in self.names}
        return record


def compare(
    measurements: Mapping[str, Sequence[Measurement]],
    reference: str | None,
    topk: Sequence[int],
    *,
    focus: str | None = None,
) -> Comparison:
    """Put the Recall and NDCG of several models, one measurement a seed, side by side in the order given.

    Raises UsageError where the reference or the focus is missing, a model lacks a metric, or protocols
    differ.
    """
    for role, model in (("reference", reference), ("focus", focus)):
        if model is not None and model not in measurements:
            raise UsageError(f"the {role} {model} is not among the models: {', '.join(measurements)}")
    first, (one, *_) = next(iter(measurements.items()))
    names = [f"{metric}@{k}" for k in topk for metric in _METRICS]
    for model, measured in measurements.items():
        for measurement in measured:
            if not measurement.protocol.asks_the_same_as(one.protocol):
                raise UsageError(
                    f"{model} and {first} cannot be compared: {model} was measured on "
                    f"{measurement.protocol.describe()}; {first} on {one.protocol.describe()}"
                )
            if missing := [name for name in names if name not in measurement.metrics]:
                raise UsageError(
                    f"{model} was not measured at {', '.join(missing)}; evaluate it with "
                    f"--topk {' '.join(map(str, topk))}"
                )
    values = {
        model: {name: [measurement.metrics[name] for measurement in measured] for name in names}
        for model, measured in measurements.items()
    }
    return Comparison(one.protocol, values, reference, focus)
