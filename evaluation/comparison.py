"""Several models side by side under one protocol, with their gain over a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import UsageError
from .metrics import Measurement, Protocol

_TITLES = {"recall": "Recall", "ndcg": "NDCG"}


@dataclass(frozen=True)
class Comparison:
    """Metrics of several models, by model and by name; all were measured under `protocol`."""

    protocol: Protocol
    reference: str
    values: Mapping[str, Mapping[str, float]]

    @property
    def columns(self) -> list[str]:
        """Headers of `rows`."""
        names = [name.split("@") for name in self.values[self.reference]]
        return ["model", *(f"{_TITLES[metric]}@{k}" for metric, k in names)]

    def gain(self, model: str, name: str) -> float | None:
        """How much greater a metric is than the reference's, as a share of it; None where that is 0."""
        base = self.values[self.reference][name]
        return self.values[model][name] / base - 1 if base > 0 else None

    def rows(self) -> list[list[str]]:
        """One row a model: its metrics, each with the gain over the reference in brackets."""
        return [
            [model, *(self._cell(model, name) for name in values)] for model, values in self.values.items()
        ]

    def _cell(self, model: str, name: str) -> str:
        gain = self.gain(model, name)
        shown = "" if model == self.reference or gain is None else f" ({gain:+.1%})"
        return f"{self.values[model][name]:.4f}{shown}"

    def markdown(self) -> str:
        """The table and its protocol as Markdown."""
        lines = [self.columns, ["---", *["---:"] * (len(self.columns) - 1)], *self.rows()]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"{table}\n\nIn brackets: gain over {self.reference}. {self.protocol.describe()}.\n"

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        models = {
            model: {"metrics": dict(values), "gain": {name: self.gain(model, name) for name in values}}
            for model, values in self.values.items()
        }
        return {"reference": self.reference, "models": models}


def compare(measurements: Mapping[str, Measurement], reference: str, topk: Sequence[int]) -> Comparison:
    """Put the Recall and NDCG of several models side by side, in the order given.

    Raises UsageError where the reference is missing, a model lacks a metric, or protocols differ.
    """
    if reference not in measurements:
        raise UsageError(f"the reference {reference} is not among the models: {', '.join(measurements)}")
    protocol = measurements[reference].protocol
    values = {}
    for model, measurement in measurements.items():
        if measurement.protocol != protocol:
            raise UsageError(
                f"{model} and {reference} cannot be compared: {model} was measured on "
                f"{measurement.protocol.describe()}; {reference} on {protocol.describe()}"
            )
        names = [f"{metric}@{k}" for k in topk for metric in _TITLES]
        if missing := [name for name in names if name not in measurement.metrics]:
            raise UsageError(
                f"{model} was not measured at {', '.join(missing)}; evaluate it with "
                f"--topk {' '.join(map(str, topk))}"
            )
        values[model] = {name: measurement.metrics[name] for name in names}
    return Comparison(protocol, reference, values)
