"""The view of training: each loss term and each measure of the validations, read from the runs' logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.artifacts import parse_json
from ...core.errors import ArtifactError, os_errors_as_tssr
from ...core.schema import SELECTION_METRIC
from ...evaluation.geometry import MEASURES, measure_title
from ...model.tracking import LOG_FILE
from .shown_runs import ShownRun

_NO_CURVES = {"step", "epoch", "learning_rate", "seconds"}
_LOSS, _TOTAL = "loss_", "loss_total"


@dataclass(frozen=True)
class RunCurve:
    """One run's line in a panel: (epoch, value) at each validation."""

    run: int
    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One quantity over the epochs, a line for each run that has it."""

    title: str
    lines: Sequence[RunCurve]


@dataclass(frozen=True)
class CurvesView:
    """Panels by what they show; `untrained` are the runs without a log, such as PopRec's."""

    validation: Sequence[Panel]
    losses: Sequence[Panel]
    geometry: Sequence[Panel]
    untrained: Sequence[str]


def curves_view(runs: Sequence[ShownRun]) -> CurvesView:
    """Read the logs of all runs. Raises ArtifactError where one is damaged."""
    logs = [read_log(run.folder / LOG_FILE) for run in runs]
    names = list(dict.fromkeys(name for log in logs for line in log for name in line))
    names = [name for name in names if name not in _NO_CURVES]
    losses = sorted((name for name in names if name.startswith(_LOSS)), key=lambda name: name != _TOTAL)
    geometry = sorted(name for name in names if name.startswith(MEASURES))
    validation = [name for name in names if name not in losses and name not in geometry]

    def panels(chosen: Iterable[str]) -> list[Panel]:
        return [_panel(name, runs, logs) for name in chosen]

    untrained = [run.label for run, log in zip(runs, logs, strict=True) if not log]
    return CurvesView(panels(validation), panels(losses), panels(geometry), untrained)


def _panel(name: str, runs: Sequence[ShownRun], logs: Sequence[Sequence[Mapping[str, float]]]) -> Panel:
    lines = []
    for place, (run, log) in enumerate(zip(runs, logs, strict=True)):
        points = [(line["epoch"], line[name]) for line in log if name in line]
        if points:
            lines.append(RunCurve(place, run.label, points))
    return Panel(_title(name), lines)


def _title(name: str) -> str:
    """A log's name in words.

    >>> _title("validation_ndcg@10"), _title("loss_ce")
    ('Validation NDCG@10', 'Loss: ce')
    """
    if name.startswith(_LOSS):
        return f"Loss: {name.removeprefix(_LOSS)}"
    if name.startswith(MEASURES):
        return measure_title(name)
    words = name.replace("_", " ").replace("ndcg", "NDCG")
    return words[:1].upper() + words[1:]


def read_log(path: Path) -> list[dict[str, float]]:
    """The log's lines, with the sum of several loss terms beside them; [] where a run has no log.

    Raises ArtifactError where a line is damaged.
    """
    if not path.exists():
        return []
    with os_errors_as_tssr(f"read {path}", path):
        text = path.read_text(encoding="utf-8")
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            values = parse_json(line)
            _ = values["epoch"], values[SELECTION_METRIC]
        except (ValueError, KeyError, TypeError):
            cure = f"delete {path.parent} and train again"
            raise ArtifactError(f"{path}, line {number} is damaged; {cure}") from None
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
        terms = [value for name, value in numbers.items() if name.startswith(_LOSS)]
        lines.append(numbers | ({_TOTAL: sum(terms)} if len(terms) > 1 else {}))
    return lines
