"""The recommend stage: from a finished run and some histories to the best items for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ...core.artifacts import atomic_path
from ...core.dataset import DatasetInfo, LoadedDataset, load_dataset, remake
from ...core.device import choose_device
from ...core.errors import UsageError
from ...core.schema import ITEM_ID, ITEMS, ITEMS_FILE, PADDING, TEXT, USER_ID, read_table
from ...core.summary import Summary
from ...core.workspace import WorkspaceFolders
from ...evaluation.recommending import RecommendedLists, recommend
from .asked_users import Ask, AskedUsers, users_in, users_of
from .list_lengths import with_fitting_topk
from .plan import RunPlan
from .recommend_settings import ListSettings, RecommendSettings
from .record import open_run
from .seen_items import seen_items_note
from .trained_model import trained_model

RANK, SCORE = "rank", "score"
SHOWN_USERS = 10  # in the table on the screen
TEXT_WIDTH = 60


@dataclass(frozen=True)
class RunLists:
    """A run's recommendations: `table` has one row for each recommended item; notes say what was left out."""

    folder: Path
    plan: RunPlan
    table: pa.Table
    notes: list[str]


def recommend_items(workspace: WorkspaceFolders, run: str | None, settings: RecommendSettings) -> Summary:
    """Rank items for users of the data set or for histories given; writes a file only where one is named.

    Raises UsageError where there is no such run or user, DataError where nobody is left to recommend to.
    """
    write = None if settings.output is None else _writer(settings.output)
    file = settings.history
    ask = users_of(settings.user or None) if file is None else users_in(file, settings)
    lists = lists_of(workspace, run, ask, settings)
    if write is not None:
        write(lists.table.drop_columns([TEXT]))
    return _summary(lists, settings)


def lists_of(workspace: WorkspaceFolders, run: str | None, ask: Ask, settings: ListSettings) -> RunLists:
    """Rank items for the users that `ask` names; raises what `recommend_items` raises."""
    folder = workspace.choose_run(run)
    plan = open_run(workspace, folder)
    settings = with_fitting_topk(settings, plan.dataset)
    dataset = load_dataset(plan.dataset)
    asked = ask(dataset)
    lists, notes = _lists(folder, plan, dataset, asked, settings)
    return RunLists(folder, plan, _table(plan.dataset, asked, lists), [*asked.notes, *notes])


def _lists(
    folder: Path, plan: RunPlan, dataset: LoadedDataset, asked: AskedUsers, settings: ListSettings
) -> tuple[RecommendedLists, list[str]]:
    from .scorer import ranks_cold_items, scorer_of

    cold = plan.split(dataset).cold_items()
    model = trained_model(folder, plan, dataset, settings.device)
    scorer = scorer_of(model, asked.queries, cold if settings.cold_items else None, settings.cold_bonus)
    left_out = np.empty(0, np.int64) if settings.cold_items else np.flatnonzero(cold) + 1
    lists = recommend(
        asked.queries.histories,
        scorer,
        settings.topk,
        settings.mask,
        without=left_out,
        backend=settings.backend,
        device=str(choose_device(settings.device)),
    )
    notes = seen_items_note(dataset, asked.queries.histories, lists) if settings.mask == "none" else []
    if len(left_out):
        hint = " (--cold-items ranks them)" if ranks_cold_items(model) else ""
        notes.append(f"{len(left_out):,} items without a train action are left out{hint}")
    return lists, notes


def _table(dataset: DatasetInfo, asked: AskedUsers, lists: RecommendedLists) -> pa.Table:
    """One row for each recommended item: user_id, rank, item_id, score, text."""
    cure = remake(dataset.name)
    items = read_table(dataset.folder / ITEMS_FILE, ITEMS, cure=cure, columns=[ITEM_ID, TEXT])
    rows, places = np.nonzero(lists.items != PADDING)
    # Item i is row i - 1 of the table.
    chosen = items.take(pa.array(lists.items[rows, places] - 1))
    columns = {
        USER_ID: pa.array(asked.names, pa.string()).take(pa.array(rows)),
        RANK: pa.array((places + 1).astype(np.int32)),
        ITEM_ID: chosen[ITEM_ID],
        SCORE: pa.array(lists.scores[rows, places]),
        TEXT: chosen[TEXT],
    }
    return pa.table(columns)


def _write_json_lines(table: pa.Table, path: Path) -> None:
    import polars as pl

    pl.DataFrame(pl.from_arrow(table)).write_ndjson(path)


_WRITERS: dict[str, Callable[[pa.Table, Path], object]] = {
    ".csv": pyarrow.csv.write_csv,
    ".jsonl": _write_json_lines,
    ".parquet": pq.write_table,
}


def _writer(path: Path) -> Callable[[pa.Table], None]:
    """The function that writes a table to `path`; raises UsageError for an unknown ending."""
    write_as = _WRITERS.get(path.suffix.lower())
    if write_as is None:
        raise UsageError(f"--output {path}: the name must end in {', '.join(_WRITERS)}")

    def write(table: pa.Table) -> None:
        with atomic_path(path) as temporary:
            write_as(table, temporary)

    return write


def _summary(lists: RunLists, settings: RecommendSettings) -> Summary:
    folder, plan, table, notes = lists.folder, lists.plan, lists.table, lists.notes
    data: dict[str, Any] = {"stage": "recommend", "run": folder.name, "dataset": plan.dataset.name}
    data |= {"mask": settings.mask, "cold_items": settings.cold_items, "cold_bonus": settings.cold_bonus}
    data["notes"] = notes
    title = f"{plan.title} on {plan.dataset.name}, history mask {settings.mask}"
    if settings.output is not None:
        data |= {"output": str(settings.output), "rows": len(table)}
        return Summary(
            title, [("rows", f"{len(table):,}"), ("file", str(settings.output))], data, notes=notes
        )
    by_user: dict[str, list[Mapping[str, Any]]] = {}
    for row in table.to_pylist():
        by_user.setdefault(row.pop(USER_ID), []).append(row)
    data["users"] = [{USER_ID: user, "items": items} for user, items in by_user.items()]
    shown = list(by_user.items())[:SHOWN_USERS]
    rows = [_shown(user, item) for user, items in shown for item in items]
    if len(shown) < len(by_user):
        notes = [
            *notes,
            f"… and {len(by_user) - len(shown):,} more users (--json or --output FILE gives all)",
        ]
    return Summary(title, rows, data, ["user", RANK, "item", SCORE, TEXT], notes=notes)


def _shown(user: str, item: Mapping[str, Any]) -> tuple[str, ...]:
    text = item[TEXT] or ""
    cut = text if len(text) <= TEXT_WIDTH else text[: TEXT_WIDTH - 1] + "…"
    return user, str(item[RANK]), item[ITEM_ID], f"{item[SCORE]:.4f}", cut
