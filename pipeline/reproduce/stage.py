"""The reproduce stage: a table or figure of the paper from our own runs, beside the paper's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from ...core.artifacts import read_json, write_text
from ...core.dataset import describe_dataset
from ...core.errors import UsageError
from ...core.settings import option_words, resolve
from ...core.summary import Summary
from ...core.workspace import WorkspaceFolders
from ...evaluation.tables import csv_table, markdown_table
from ..compare.contenders import plan_contenders
from ..compare.settings import CompareSettings
from ..compare.stage import compare_models
from ..preprocess.formats import FORMATS
from ..preprocess.manifest import paper_row, table_row
from ..runs.evaluate import metrics_name
from ..runs.train_config import TrainConfig
from .claims import gain_over, what_is_best
from .experiments import EXPERIMENTS, QUICK, Experiment
from .figures import column_title, draw_bars, draw_lines, draw_maps, refuse_without_matplotlib
from .paper import DATASETS, TITLES, column_of
from .published import reproduce_published
from .settings import ReproduceSettings

BARS, MAPS, LINES = ("figure3", "figure5"), ("figure1", "figure4"), ("figure6",)
FIGURES = BARS + MAPS + LINES
_NONE = "\N{EN DASH}"
THE_PAPERS = TrainConfig({}, {}, None)  # no setting but those of --preset paper
QUICK_NOTE = "--quick: one seed, two epochs, narrow models; it shows that all works and is no evidence"


def reproduce(
    workspace: WorkspaceFolders,
    what: str,
    name: str | None,
    settings: ReproduceSettings,
    config: TrainConfig = THE_PAPERS,
) -> Summary:
    """Make `what` again: a table or figure of the paper, or published with the `name` of an entry.

    Raises UsageError for what there is not, and for a name where none is taken.
    """
    if check_experiment(what) == "published":
        return reproduce_published(workspace, name, settings.raw)
    if name is not None:
        raise UsageError(f"reproduce {what} takes no name; {name!r} is one too many")
    return _of_the_paper(workspace, what, settings, config)


def _of_the_paper(
    workspace: WorkspaceFolders, what: str, settings: ReproduceSettings, config: TrainConfig
) -> Summary:
    """Train what is missing, and write numbers (CSV, Markdown) and, for a figure, pictures (SVG, PNG).

    Raises UsageError where the data set or its features are missing, TssrError where an extra is.
    """
    info = describe_dataset(workspace.choose_dataset(settings.dataset))
    beside = settings.beside or (info.name if info.name in DATASETS else "toy")
    name = f"{what}-{info.name}" + ("-quick" if settings.quick else "")
    path = workspace.root / "reproduced" / name
    if what == "table2":
        return _table_2(path, info.manifest["counts"], info.name, beside)
    experiment = EXPERIMENTS[what]
    if what in FIGURES:
        refuse_without_matplotlib()  # now, not after the trainings
    record = _compared(workspace, experiment, settings, config, info.name, name).data
    columns, rows = _table(workspace, experiment, record, beside)
    notes = [str(record["protocol"]), *_other_settings(experiment, config)] + [QUICK_NOTE] * settings.quick
    notes += what_is_best(experiment, record["models"], beside)
    if what in BARS:
        draw_bars(path, experiment.title, columns, rows)
    if what in LINES:
        draw_lines(path, experiment.title, columns, rows, experiment.points)
    if what in MAPS:
        runs = {model: record["contenders"][model]["runs"][0]["run"] for model in experiment.models}
        draw_maps(workspace, path, experiment.title, runs, joined=experiment.geometry)
    pictures = ", .svg, .png" if what in FIGURES else ""
    return _written(path, experiment.title, columns, rows, [*notes, f"files: {path}.md, .csv{pictures}"])


def _compared(
    workspace: WorkspaceFolders,
    experiment: Experiment,
    settings: ReproduceSettings,
    config: TrainConfig,
    dataset: str,
    name: str,
) -> Summary:
    """The comparison under the experiment: settings of the paper, but those of `config` and of --quick."""
    cutoffs = sorted({int(metric.partition("@")[2]) for metric in experiment.metrics} | {10, 20})
    asked = {
        "models": experiment.models,
        "dataset": dataset,
        "features": settings.features,
        "seeds": 1 if settings.quick or experiment.one_seed else settings.seeds,
        "topk": tuple(cutoffs),
        "reference": experiment.reference,
        "focus": experiment.focus,
        "mask": settings.mask,
        "jobs": settings.jobs,
        "name": name,
    }
    common = {**config.common, **(QUICK if settings.quick else {})}
    whole = TrainConfig.of({**common, **config.own, **experiment.variants}, config.path)
    chosen = resolve(CompareSettings, asked)
    return compare_models(workspace, chosen, plan_contenders(workspace, chosen, whole, {}))


def _other_settings(experiment: Experiment, config: TrainConfig) -> list[str]:
    """The settings that are not the paper's, as a note; none where all are the paper's."""
    own = [
        f"{name}: {' '.join(option_words(values))}"
        for name, values in config.own.items()
        if name in experiment.models
    ]
    words = [" ".join(option_words(config.common)), *own] if config.common else own
    return [f"settings that are not the paper's: {'; '.join(words)}"] if words else []


def _table(
    workspace: WorkspaceFolders, experiment: Experiment, record: Mapping[str, Any], beside: str
) -> tuple[list[str], list[list[object]]]:
    """Columns and rows of plain numbers: ours, the paper's, both gains over the reference, their ratio."""
    columns = ["model"]
    for metric in experiment.metrics:
        columns += [metric, f"{metric} gain"]
        if metric in experiment.paper:
            columns += [f"{metric} paper", f"{metric} paper gain", f"{metric} ratio of gains"]
    rows: list[list[object]] = []
    geometry = {model: _representation(workspace, record, model) for model in experiment.models}
    measured = list(dict.fromkeys(name for found in geometry.values() for name in found))
    for model in experiment.models:
        if model not in record["models"]:  # its training diverged, which the comparison says
            continue
        row: list[object] = [model]
        for metric in experiment.metrics:
            ours = {name: found["metrics"][metric] for name, found in record["models"].items()}
            row += [ours[model], gain := gain_over(ours, model, experiment.reference_of(model))]
            if metric in experiment.paper:
                theirs = column_of(experiment.paper[metric], beside)
                paper_gain = gain_over(theirs, model, experiment.reference)
                row += [theirs[model], paper_gain, gain / paper_gain if gain and paper_gain else None]
        rows.append(row + [geometry[model].get(name) for name in measured if experiment.geometry])
    return columns + (measured if experiment.geometry else []), rows


def _representation(workspace: WorkspaceFolders, record: Mapping[str, Any], model: str) -> dict[str, float]:
    """Alignment and uniformity of a model's runs, the mean over seeds."""
    runs = record["contenders"].get(model, {"runs": []})["runs"]
    found = [
        read_json(workspace.run(run["run"]) / metrics_name("test"), cure="run tssr evaluate --force")
        for run in runs
    ]
    names = found[0]["representation"] if found else {}
    return {name: fmean(each["representation"][name] for each in found) for name in names}


def _table_2(path: Path, counts: Mapping[str, int], dataset: str, beside: str) -> Summary:
    ours, theirs = table_row(counts), paper_row(FORMATS[beside].paper) or {}
    rows: list[list[object]] = [
        [name, value, theirs.get(name), value / theirs[name] if theirs.get(name) else None]
        for name, value in ours.items()
    ]
    columns = ["", dataset, f"the paper's {TITLES[beside]}", "ratio"]
    notes = [f"files: {path}.md, .csv"]
    return _written(path, "Table 2: the data set", columns, rows, notes)


def _written(
    path: Path, title: str, columns: list[str], rows: list[list[object]], notes: list[str]
) -> Summary:
    """Write the numbers and show them."""
    shown = [[_cell(column, value) for column, value in zip(columns, row, strict=True)] for row in rows]
    titles = [column_title(column) for column in columns]
    write_text(path.with_name(f"{path.name}.csv"), csv_table(columns, rows))
    words = "\n\n".join(notes)
    write_text(path.with_name(f"{path.name}.md"), f"# {title}\n\n{markdown_table(titles, shown)}\n{words}\n")
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    data = {"stage": "reproduce", "title": title, "rows": records, "notes": notes, "files": str(path)}
    return Summary(title, shown, data, titles, notes, records=records)


def _cell(column: str, value: object) -> str:
    if value is None:
        return _NONE
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if column.endswith("gain"):
        return f"{value:+.1%}"
    return f"{value:.2f}" if "ratio" in column else f"{value:.4f}"


def check_experiment(what: str) -> str:
    """Refuse a name that is no experiment; returns it."""
    known = sorted((*EXPERIMENTS, "table2"), key=lambda name: (name.startswith("figure"), name))
    known.append("published")
    if what not in known:
        raise UsageError(f"reproduce {what}: there are {', '.join(known)}")
    return what
