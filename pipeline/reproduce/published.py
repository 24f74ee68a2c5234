"""Our numbers beside those of tables that others published.

The files are the user's: nothing is downloaded. Differences are relative to the published number.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...core.artifacts import write_text
from ...core.errors import DataError, UsageError
from ...core.settings import resolve
from ...core.summary import Summary
from ...core.workspace import WorkspaceFolders
from ...evaluation.metrics import metric_title
from ...evaluation.settings import EvaluateSettings
from ...evaluation.tables import csv_table, markdown_table
from ..compare.training_pool import TrainingPool
from ..preprocess.settings import PreprocessSettings
from ..preprocess.stage import preprocess
from ..runs.evaluate import evaluate
from ..runs.plan import plan_run
from ..runs.settings import RunSettings
from .published_tables import PUBLISHED, PublishedRow

NEAR = 0.05  # up to this relative difference, a published number counts as reproduced


def reproduce_published(workspace: WorkspaceFolders, name: str | None, raw: Path | None) -> Summary:
    """Prepare, train and measure an entry; without a name, list what there is.

    Raises UsageError for an unknown entry, DataError that says where its file comes from.
    """
    if name is None:
        return _listed()
    if name not in PUBLISHED:
        raise UsageError(f"published {name}: there are {', '.join(PUBLISHED)}")
    entry = PUBLISHED[name]
    folder = raw or workspace.raw("published")
    file = folder / entry.file
    if not file.is_file():
        raise DataError(
            f"{file} is missing; get {entry.file} from {entry.data_source}, and name its folder with --raw"
        )
    dataset = f"published-{file.stem.lower().replace('_', '-')}"
    protocol = resolve(PreprocessSettings, {"format": "sequences", "interactions": file, "min_actions": 0})
    preprocess("custom", protocol, folder, workspace.dataset(dataset))
    chosen = resolve(RunSettings, {"model": entry.model, "dataset": dataset})
    plan = plan_run(workspace, chosen, {}, entry.settings)
    (trained,) = TrainingPool(workspace, 1, 1).train([(name, plan)])
    topk = tuple(sorted({int(metric.partition("@")[2]) for metric in entry.numbers}))
    wanted = resolve(EvaluateSettings, {"topk": topk})
    measured = evaluate(workspace, trained.folder.name, wanted, force=False, reader="reproduce").data
    (ours,) = [m["metrics"] for m in measured["measurements"] if m["protocol"]["mask"] == entry.mask]
    return _beside(workspace.root / "reproduced" / f"published-{name}", name, entry, ours)


def _listed() -> Summary:
    rows = [[name, entry.model, entry.mask, entry.file, entry.where] for name, entry in PUBLISHED.items()]
    columns = ["name", "model", "mask", "file", "published in"]
    data = {"stage": "reproduce", "published": [dict(zip(columns, row, strict=True)) for row in rows]}
    return Summary("Published tables: tssr reproduce published NAME --raw DIR", rows, data, columns)


def _beside(path: Path, name: str, entry: PublishedRow, ours: Mapping[str, float]) -> Summary:
    differences = {metric: ours[metric] / theirs - 1 for metric, theirs in entry.numbers.items()}
    numbers = [[metric, ours[metric], entry.numbers[metric], differences[metric]] for metric in differences]
    rows = [
        [metric_title(metric), f"{ours[metric]:.4f}", f"{entry.numbers[metric]:.4f}", f"{difference:+.1%}"]
        for metric, difference in differences.items()
    ]
    columns = ["metric", "ours", "published", "difference"]
    missed = [metric_title(metric) for metric, difference in differences.items() if abs(difference) > NEAR]
    notes = [
        f"{entry.where}; {entry.protocol}; history mask {entry.mask}; {entry.file} from {entry.data_source}",
        f"further away than {NEAR:.0%}: {', '.join(missed)}" if missed else f"all within {NEAR:.0%}",
        f"files: {path}.md, .csv",
    ]
    write_text(path.with_name(f"{path.name}.csv"), csv_table(columns, numbers))
    words = "\n\n".join(notes)
    write_text(path.with_name(f"{path.name}.md"), f"# {name}\n\n{markdown_table(columns, rows)}\n{words}\n")
    records = [dict(zip(columns, number, strict=True)) for number in numbers]
    data = {"stage": "reproduce", "name": name, "rows": records, "notes": notes, "files": str(path)}
    return Summary(
        f"{name}: {entry.model} beside what was published", rows, data, columns, notes, records=records
    )
