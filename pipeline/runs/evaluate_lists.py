"""Metrics for any recommender: reads its lists or scores from a file and measures like `tssr evaluate`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...core.artifacts import fingerprint, read_json, sha256_file
from ...core.dataset import DatasetInfo, Int32, describe_dataset, load_dataset
from ...core.errors import DataError, UsageError
from ...core.summary import Summary
from ...core.workspace import WorkspaceFolders
from ...evaluation.external_lists import rank_in_lists
from ...evaluation.ranking import RankingOptions, Ranks, rank_targets
from ...evaluation.scoring import DenseScorer, Scores
from ...evaluation.settings import EvaluateSettings
from .evaluate import asked_queries, metrics_name, ranks_name, write_metrics
from .list_lengths import with_fitting_topk
from .metrics_record import VERSION, EvaluationTask, diversity_stores, metrics_record
from .metrics_tables import metrics_summary
from .read_lists import SCORES, read_lists
from .readings import record_test_reading


def evaluate_lists(
    workspace: WorkspaceFolders,
    file: Path,
    dataset_name: str | None,
    settings: EvaluateSettings,
    *,
    force: bool,
    reader: str = "evaluate",
) -> Summary:
    """Measure the lists of `file` on a split; writes metrics and ranks into the workspace, folder `lists`.

    Raises UsageError and DataError for a file that cannot be measured; see `read_lists`.
    """
    if settings.cold_items:
        raise UsageError("--cold-items is for runs; the scores of a file are taken as they are")
    info = describe_dataset(workspace.choose_dataset(dataset_name))
    settings = with_fitting_topk(settings, info)
    if not file.is_file():
        raise UsageError(f"--lists {file}: there is no such file")
    contents = diversity_stores(workspace, info.name, [])
    told = settings.deciding() | {
        "version": VERSION,
        "contents": [store.fingerprint for store in contents],
    }
    sha256 = sha256_file(file)
    key = fingerprint({"lists": sha256, "dataset": info.fingerprint, **told})
    folder = workspace.root / "lists" / f"{info.name}-{file.stem}-{sha256[:8]}"
    metrics_file = folder / metrics_name(settings.split)
    if metrics_file.exists() and not force:
        record = read_json(metrics_file, cure="run the same command with --force")
        if record.get("key") == key:
            return metrics_summary(metrics_file, record, settings, record["notes"], cached=True)
    if settings.split == "test":
        record_test_reading(folder, reader)
    dataset = load_dataset(info)
    window = int(info.manifest["window"])
    task = EvaluationTask(dataset, asked_queries(dataset, settings), settings, window, contents)
    ranks, listed, notes = _rank(file, info, task)
    task = replace(task, listed=listed)
    names = {"run": folder.name, "model": "lists", "title": f"Lists of {file.name}", "dataset": info.name}
    record = {"key": key, **names, "file": str(file), "notes": notes, **metrics_record(ranks, task)}
    write_metrics(metrics_file, folder / ranks_name(settings.split), record, ranks)
    return metrics_summary(metrics_file, record, settings, notes, cached=False)


def _rank(file: Path, info: DatasetInfo, task: EvaluationTask) -> tuple[Ranks, int | None, list[str]]:
    """The ranks; the longest list's length (None for scores of all items); and notes for the person."""
    settings, queries = task.settings, task.queries
    longest = max(settings.topk)
    options = RankingOptions(
        settings.mask, task.window, settings.depth, settings.backend, "cpu", lists=longest
    )
    if file.suffix.lower() == SCORES:
        return rank_targets(queries, _scorer(file, info, queries.users), options), None, []
    lists, notes = read_lists(file, info, queries)
    lengths = np.count_nonzero(lists.items, axis=1)
    short = int(np.count_nonzero((lengths > 0) & (lengths < longest)))
    if short:
        notes.append(f"{short:,} users have fewer than {longest} items in their list")
    # Lists of all items are a full ranking; of shorter ones, the longest length is part of the protocol.
    listed = None if lengths.min() == info.item_count else int(lengths.max())
    return rank_in_lists(queries, lists, options), listed, notes


def _scorer(file: Path, info: DatasetInfo, users: Int32) -> DenseScorer:
    """A scorer for `users` that reads a .npy file of scores, (U, N); -inf means that an item is in no list.

    Rows are in the order of users.parquet, columns in that of items.parquet. The file is memory-mapped, so
    that only the rows of a block are held at once.
    """
    try:
        matrix = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"--lists {file} is no .npy file of numbers ({error})") from None
    wanted = (info.user_count, info.item_count)
    if matrix.shape != wanted or matrix.dtype.kind != "f":
        raise DataError(
            f"--lists {file} holds {matrix.dtype} of shape {matrix.shape}; {info.name} needs floats of shape "
            f"{wanted}: a row for each of users.parquet, a column for each of items.parquet"
        )

    def scores(lo: int, hi: int) -> Scores:
        rows: Scores = np.asarray(matrix[users[lo:hi]])
        # (B,): NaN where a row holds one. Minus infinity, which many systems give to what they leave out, is
        # no mistake.
        largest = rows.max(axis=1)
        for row in np.flatnonzero(~(largest < np.inf))[:1]:
            column = int(np.flatnonzero(~(rows[row] < np.inf))[0])
            raise DataError(
                f"--lists {file}: the score in row {int(users[lo + row])}, column {column} is "
                f"{rows[row, column]} (counted from 0); give numbers, or -inf for items that are in no list"
            )
        return rows

    return DenseScorer(scores)
