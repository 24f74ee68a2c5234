"""Which runs a report shows: those named, those of a comparison, or the newest of each model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.artifacts import read_json
from ...core.dataset import DatasetInfo
from ...core.errors import ArtifactError, UsageError
from ...core.words import first_few
from ...core.workspace import WorkspaceFolders, check_name, read_run
from ...evaluation.measurement import Measurement, Protocol
from ...evaluation.ranking import Ranks
from ...evaluation.ranks import read_ranks
from ...evaluation.settings import Mask
from ...model.registry import MODELS
from ..runs.evaluate import metrics_name, ranks_name
from ..runs.plan import RunPlan
from ..runs.readings import readings_words
from ..runs.record import open_run
from .settings import ReportSettings

COMPARISONS_SHOWN = 5  # in a message
FOCUS = "tssr"  # tested against every other run, where it takes part


@dataclass(frozen=True)
class ShownRun:
    """One run of the report; `label` is unique in it. `metrics` and `ranks` are None where not evaluated."""

    label: str
    folder: Path
    plan: RunPlan
    record: Mapping[str, Any]
    metrics: Mapping[str, Any] | None
    ranks: Ranks | None

    @property
    def readings(self) -> str | None:
        """How often the run was measured on the test split, where that was more than once."""
        return readings_words(self.folder)

    @property
    def measurements(self) -> dict[Mask, Measurement]:
        """What was measured on the test split, by history mask; empty where the run was not evaluated."""
        records = self.metrics["measurements"] if self.metrics else []
        measured = [Measurement.from_record(record) for record in records]
        return {one.protocol.mask: one for one in measured}


@dataclass(frozen=True)
class Scope:
    """What a report is about: one data set, some runs on it, and a comparison's record where one is shown."""

    dataset: DatasetInfo
    runs: Sequence[ShownRun]
    comparison: Mapping[str, Any] | None

    @property
    def evaluated(self) -> list[ShownRun]:
        """The runs that were measured on the test split."""
        return [run for run in self.runs if run.ranks is not None and run.metrics is not None]

    def protocols(self) -> dict[Mask, Protocol]:
        """How the runs were measured, by history mask: as the first that was measured under it."""
        found: dict[Mask, Protocol] = {}
        for run in self.runs:
            for mask, measurement in run.measurements.items():
                found.setdefault(mask, measurement.protocol)
        return found


def choose_scope(workspace: WorkspaceFolders, settings: ReportSettings) -> Scope:
    """Find the runs that the settings ask for.

    Raises UsageError where there is no such run or comparison, or where runs are of several data sets.
    """
    comparison = None
    names: dict[str, str] = {}  # run: label
    if settings.comparison is not None:
        comparison = _read_comparison(workspace, settings.comparison)
        entries = comparison["contenders"].items()  # lists that were given have no runs
        names = {entry["runs"][0]["run"]: label for label, entry in entries if entry["runs"]}
    folders = [workspace.choose_run(name) for name in dict.fromkeys((*names, *settings.run))]
    if not folders:
        folders = _newest_of_each_model(workspace)
    plans = [open_run(workspace, folder) for folder in folders]
    _refuse_several_datasets(folders, plans)
    labels = _unique_labels(folders, plans, names)
    runs = [_shown(label, folder, plan) for label, folder, plan in zip(labels, folders, plans, strict=True)]
    return Scope(plans[0].dataset, runs, comparison)


def _read_comparison(workspace: WorkspaceFolders, name: str) -> dict[str, Any]:
    folder = workspace.root / "comparisons"
    path = folder / f"{check_name(name, '--comparison')}.json"
    if not path.exists():
        there = sorted(file.stem for file in folder.glob("*.json"))
        has = (
            f"{folder} has {first_few(there, COMPARISONS_SHOWN)}" if there else "make one with: tssr compare"
        )
        raise UsageError(f"--comparison {name}: no such comparison; {has}")
    cure = "make it again with: tssr compare"
    record = read_json(path, cure=cure)
    if not isinstance(record.get("contenders"), dict):
        raise ArtifactError(f"{path} is damaged (no contenders); {cure}")
    return record


def _newest_of_each_model(workspace: WorkspaceFolders) -> list[Path]:
    """The newest finished run of each model on the newest run's data set, in the registry's order.

    Blends and models that were registered from outside come last.
    """
    newest = workspace.choose_run(None)
    dataset = read_run(newest)["dataset"]
    of_model: dict[str, Path] = {}
    for name in workspace.run_names():  # the newest last
        record = read_run(workspace.run(name))
        if record["dataset"] == dataset:
            of_model[record["model"]] = workspace.run(name)
    return [of_model[model] for model in dict.fromkeys([*MODELS, *of_model]) if model in of_model]


def _refuse_several_datasets(folders: Sequence[Path], plans: Sequence[RunPlan]) -> None:
    for folder, plan in zip(folders, plans, strict=True):
        if plan.dataset.name != plans[0].dataset.name:
            raise UsageError(
                f"a report is of one data set, but run {folders[0].name} is on {plans[0].dataset.name} and "
                f"run {folder.name} on {plan.dataset.name}; choose runs of one with --run"
            )


def _unique_labels(folders: Sequence[Path], plans: Sequence[RunPlan], given: Mapping[str, str]) -> list[str]:
    """A comparison's own names, else the models' titles, with the run's name where a title is not enough."""
    titles = [given.get(folder.name, plan.title) for folder, plan in zip(folders, plans, strict=True)]
    count = Counter(titles)
    return [
        title if count[title] == 1 else f"{title} ({folder.name})"
        for title, folder in zip(titles, folders, strict=True)
    ]


def _shown(label: str, folder: Path, plan: RunPlan) -> ShownRun:
    path = folder / metrics_name("test")
    metrics = read_json(path, cure="measure again with: tssr evaluate --force") if path.exists() else None
    ranks = read_ranks(folder / ranks_name("test")) if metrics is not None else None
    return ShownRun(label, folder, plan, read_run(folder), metrics, ranks)
