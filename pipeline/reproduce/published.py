"""Tables that others published on data one can get, and our numbers beside theirs.

An entry names its file, the model's settings, the history mask that the publisher used, and the numbers.
The files are the user's: nothing is downloaded. Differences are relative to the published number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.artifacts import write_text
from ...core.errors import DataError, UsageError
from ...core.settings import resolve
from ...core.summary import Summary
from ...core.workspace import Workspace
from ...evaluation.metrics import metric_title
from ...evaluation.settings import EvaluateSettings, Mask
from ...evaluation.tables import csv_table, markdown_table
from ..compare.training_pool import TrainingPool
from ..preprocess.settings import PreprocessSettings
from ..preprocess.stage import preprocess
from ..runs.evaluate import evaluate
from ..runs.plan import plan_run
from ..runs.settings import RunSettings

NEAR = 0.05  # a relative difference up to this counts as the published number made again
_S3REC = "github.com/RUCAIBox/CIKM2020-S3Rec, folder data"
_POPREC = "popularity over all actions, validation and test included"
_BCE = {
    "width": 64, "feedforward_width": 256, "heads": 2, "blocks": 2, "length": 50, "dropout": 0.5,
    "input_norm": True, "input_dropout": 0.5, "norm": "post", "head": "tied", "loss": "bce",
    "learning_rate": 1e-3, "batch_size": 256, "train_windows": "all", "patience": 10, "max_epochs": 200,
}  # fmt: skip
_CROSS_ENTROPY = _BCE | {"loss": "ce"}


@dataclass(frozen=True)
class Published:
    """One row of a published table: what it was measured on and how, and its numbers by metric."""

    file: str
    data_source: str
    where: str
    protocol: str
    model: str
    settings: Mapping[str, Any]
    mask: Mask
    numbers: Mapping[str, float]


def _s3rec(file: str, where: str, protocol: str, model: str, **numbers: float) -> Published:
    settings: Mapping[str, Any] = {"count_all": True} if model == "poprec" else _BCE
    metrics = {name.replace("_", "@"): value for name, value in numbers.items()}
    return Published(file, _S3REC, where, protocol, model, settings, "hard", metrics)


_TABLE = "S3-Rec, all_rank.PNG of its repository"
_TOYS, _BEAUTY = "Toys_and_Games.txt", "Beauty.txt"

PUBLISHED: dict[str, Published] = {
    "s3rec-toys-poprec": _s3rec(
        _TOYS, _TABLE, _POPREC, "poprec",
        recall_5=0.0066, recall_10=0.0113, recall_20=0.0163, ndcg_10=0.0061,
    ),
    "s3rec-beauty-poprec": _s3rec(
        _BEAUTY, _TABLE, _POPREC, "poprec",
        recall_5=0.0080, recall_10=0.0152, recall_20=0.0217, ndcg_10=0.0068,
    ),
    "s3rec-toys-sasrec": _s3rec(
        _TOYS, _TABLE, "one negative, binary cross-entropy", "sasrec-id", recall_10=0.0675, ndcg_10=0.0374
    ),
    "s3rec-beauty-sasrec": _s3rec(
        _BEAUTY, _TABLE, "one negative, binary cross-entropy", "sasrec-id", recall_10=0.0605, ndcg_10=0.0318
    ),
    "recbole-beauty-sasrec": Published(
        _BEAUTY, _S3REC, "DuoRec, issue 3: RecBole's SASRec", "cross-entropy, history not masked",
        "sasrec-id", _CROSS_ENTROPY, "none",
        {"recall@5": 0.0555, "recall@10": 0.0830, "recall@20": 0.1191, "ndcg@10": 0.0415},
    ),
}  # fmt: skip


def reproduce_published(workspace: Workspace, name: str | None, raw: Path | None) -> Summary:
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


def _beside(path: Path, name: str, entry: Published, ours: Mapping[str, float]) -> Summary:
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
    return Summary(f"{name}: {entry.model} beside what was published", rows, data, columns, notes)
