"""Writing a data set in the formats of other libraries, so that they train and test on exactly the same data.

Users and items are written as their numbers in the tables, because outside ids may contain spaces. The order
of actions is that of the tables, also among equal times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from ...core.artifacts import atomic_folder
from ...core.dataset import DatasetInfo, describe_dataset
from ...core.schema import (
    INTERACTIONS_FILE,
    ITEM,
    ITEM_ID,
    ITEMS_FILE,
    POSITION,
    TEXT,
    TIMESTAMP,
    USER,
    USER_ID,
    USERS_FILE,
)
from ...core.summary import Summary
from ...core.workspace import WorkspaceFolders
from .settings import ExportSettings

SEQUENCES_FILE = "sequences.txt"
_RECBOLE = """\
# Our order{and_split} in RecBole; data_path is the folder that holds this data set's folder.
USER_ID_FIELD: user_id
ITEM_ID_FIELD: item_id
TIME_FIELD: position  # timestamps may be equal; positions are not
load_col: {{inter: [user_id, item_id, position]}}
user_inter_num_interval: "[0,inf)"
item_inter_num_interval: "[0,inf)"
"""
_BY_TIME = """\
# Our split is not here: it is by time, and no eval_args of RecBole divide at a moment. Actions with a
# timestamp from {validation_from} on are the validation part, those from {test_from} on the test part.
"""
_LEAVE_ONE_OUT = "eval_args: {split: {LS: valid_and_test}, order: TO, mode: full, group_by: user}\n"


def export_data_set(workspace: WorkspaceFolders, folder: Path, settings: ExportSettings) -> Summary:
    """Write the data set of `settings` into `folder`; raises UsageError where there is none of the name."""
    info = describe_dataset(workspace.choose_dataset(settings.dataset))
    writers: Mapping[str, Callable[[DatasetInfo, Path], None]] = {
        "recbole": _write_recbole,
        "sequences": _write_sequences,
    }
    with atomic_folder(folder) as temporary:
        writers[settings.to](info, temporary)
        files = {
            str(path.relative_to(temporary)): path.stat().st_size
            for path in sorted(temporary.rglob("*"))
            if path.is_file()
        }
    split = "by time" if info.by_time else "leave-one-out"
    data = {"stage": "export", "to": settings.to, "dataset": info.name, "folder": str(folder), "files": files}
    data |= {"counts": info.manifest["counts"], "split": split, "fingerprint": info.fingerprint}
    rows = [(name, f"{size:,}") for name, size in files.items()]
    notes = [_split_note(info, settings.to), "Users and items go by their numbers.", f"files: {folder}"]
    records = [{"file": name, "bytes": size} for name, size in files.items()]
    title = f"Exported {info.name} to {settings.to}"
    return Summary(title, rows, data, ("file", "bytes"), notes, records=records)


def _split_note(info: DatasetInfo, to: str) -> str:
    if not info.by_time:
        return "The split is leave-one-out."
    part = info.manifest["split"]
    moments = f"validation from {part['validation_from']} on, test from {part['test_from']} on"
    lost = {
        "recbole": "RecBole cannot be told that, so divide its .inter file by the column timestamp",
        "sequences": f"{SEQUENCES_FILE} has no times, so it does not hold the split",
    }
    return f"The split is by time, {moments}; {lost[to]}."


def _actions(info: DatasetInfo) -> pl.LazyFrame:
    return pl.scan_parquet(info.folder / INTERACTIONS_FILE).sort(USER, POSITION)


def _items(info: DatasetInfo) -> pl.LazyFrame:
    one_line = pl.col(TEXT).str.replace_all(r"\s+", " ").fill_null("")
    return pl.scan_parquet(info.folder / ITEMS_FILE).select(ITEM, ITEM_ID, one_line)


def _write_recbole(info: DatasetInfo, folder: Path) -> None:
    """Atomic files: tables with tabs whose headers say each column's type, in a folder of the set's name."""
    own = folder / info.name
    own.mkdir()
    actions = _actions(info).select(
        pl.col(USER).alias("user_id:token"),
        pl.col(ITEM).alias("item_id:token"),
        pl.col(POSITION).alias("position:float"),
        pl.col(TIMESTAMP).alias("timestamp:float"),
    )
    items = _items(info).select(
        pl.col(ITEM).alias("item_id:token"),
        pl.col(ITEM_ID).alias("outside_id:token"),
        pl.col(TEXT).alias("text:token_seq"),
    )
    users = pl.scan_parquet(info.folder / USERS_FILE).select(
        pl.col(USER).alias("user_id:token"), pl.col(USER_ID).alias("outside_id:token")
    )
    for ending, table in (("inter", actions), ("item", items), ("user", users)):
        table.collect().write_csv(own / f"{info.name}.{ending}", separator="\t", quote_style="never")
    if info.by_time:
        told = _RECBOLE.format(and_split="") + _BY_TIME.format(**info.manifest["split"])
    else:
        told = _RECBOLE.format(and_split=" and split") + _LEAVE_ONE_OUT
    (folder / "recbole.yaml").write_text(told, encoding="utf-8")


def _write_sequences(info: DatasetInfo, folder: Path) -> None:
    """One user a line, `user item item …`, oldest first; the numbers' outside ids beside them as JSON."""
    lines = (
        _actions(info)
        .group_by(USER, maintain_order=True)
        .agg(pl.col(ITEM).cast(pl.String).str.join(" "))
        .select(pl.concat_str(USER, ITEM, separator=" "))
        .collect()
    )
    (folder / SEQUENCES_FILE).write_text("".join(f"{line}\n" for line in lines.to_series()), encoding="utf-8")
    for name, table in (("items", ITEMS_FILE), ("users", USERS_FILE)):
        pl.read_parquet(info.folder / table).select(pl.first(), pl.nth(1)).write_ndjson(
            folder / f"{name}.jsonl"
        )
