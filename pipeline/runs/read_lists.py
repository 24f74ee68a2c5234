"""Lists that any system recommends, read from a file and checked against the data set they are for.

One row is one recommended item: the columns user (or user_id), item (or item_id), and rank or score. Ids are
those of users.parquet and items.parquet, so what `tssr recommend --output` writes can be read back.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import polars as pl

from ...core.dataset import DatasetInfo, Queries, remake
from ...core.errors import DataError, UsageError, os_errors_as_tssr
from ...core.schema import ITEM, ITEM_ID, ITEMS, ITEMS_FILE, USER, USER_ID, USERS, USERS_FILE, read_table
from ...core.words import first_few
from ...evaluation.external_lists import ExternalLists

RANK, SCORE = "rank", "score"
_READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": pl.read_parquet,
    ".csv": lambda path: pl.read_csv(path, infer_schema=False),  # ids keep their leading zeros
    ".jsonl": pl.read_ndjson,
    ".ndjson": pl.read_ndjson,
}
SCORES = ".npy"  # a matrix of the scores of all items


def read_lists(path: Path, dataset: DatasetInfo, queries: Queries) -> tuple[ExternalLists, list[str]]:
    """The list of each of Q queries, and notes on them for the person.

    Raises UsageError for a missing file or an unknown ending; DataError for users or items that the data set
    does not have, ranks or items that a user has twice, and ranks or scores that are no numbers.
    """
    rows = _checked(path, _table(path))
    users = _numbers(dataset, USERS_FILE, USER_ID, USER)
    items = _numbers(dataset, ITEMS_FILE, ITEM_ID, ITEM)
    rows = _known(path, _known(path, rows, users, "user", dataset), items, "item", dataset)
    _refuse_doubles(path, rows)
    asked = pl.DataFrame({"user": queries.users, "query": np.arange(len(queries), dtype=np.int64)})
    rows = rows.join(asked, on="user", how="inner", maintain_order="left")
    # As everywhere: the greatest score first, and items of equal scores by number.
    rows = rows.sort("query", "score", "item", descending=[False, True, False])
    return _laid_out(rows, len(queries)), _notes(rows, len(queries))


def _refuse(path: Path, words: str) -> NoReturn:
    raise DataError(f"--lists {path}: {words}")


def _table(path: Path) -> pl.DataFrame:
    """The file's rows with columns user, item, and rank or score."""
    if not path.is_file():
        raise UsageError(f"--lists {path}: there is no such file")
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise UsageError(f"--lists {path}: the name must end in {', '.join([*_READERS, SCORES])}")
    try:
        with os_errors_as_tssr(f"read {path}", path):
            table = read(path)
    except pl.exceptions.PolarsError as error:
        _refuse(path, f"cannot be read ({str(error).splitlines()[0]})")
    table = table.rename(
        {old: new for old, new in ((USER_ID, "user"), (ITEM_ID, "item")) if old in table.columns}
    )
    for wanted in ("user", "item"):
        if wanted not in table.columns:
            _refuse(path, f"has no column {wanted}; it has {first_few(table.columns)}")
    if RANK not in table.columns and SCORE not in table.columns:
        _refuse(path, f"has neither a column rank nor score; it has {first_few(table.columns)}")
    if table.is_empty():
        _refuse(path, "holds no row")
    return table


def _checked(path: Path, table: pl.DataFrame) -> pl.DataFrame:
    """Ids as text and `score` as a finite number; rank r becomes the score -r, so that rank 1 is greatest."""
    name = RANK if RANK in table.columns else SCORE
    values = table[name].cast(pl.Float64, strict=False)
    bad = np.flatnonzero(~np.isfinite(values.fill_null(np.nan).to_numpy()))
    if len(bad):
        given = table[name][int(bad[0])]
        _refuse(path, f"row {int(bad[0]) + 1}, {name} is {given}, which is no finite number")
    score = -values if name == RANK else values
    ids = {}
    for column in ("user", "item"):
        texts = table[column]
        if texts.dtype.is_float():  # an integer column with a gap becomes one of floats: 101.0 is 101
            if not bool((texts.drop_nulls() == texts.drop_nulls().floor()).all()):
                _refuse(path, f"column {column} holds numbers with a fraction; ids are text or whole numbers")
            texts = texts.cast(pl.Int64)
        ids[column] = texts.cast(pl.String)
        if ids[column].null_count():
            row = int(ids[column].is_null().arg_true()[0]) + 1
            _refuse(path, f"row {row} has no {column}")
    return pl.DataFrame({**ids, "score": score, "is_rank": pl.repeat(name == RANK, len(table), eager=True)})


def _numbers(dataset: DatasetInfo, file: str, name: str, number: str) -> pl.DataFrame:
    schema = USERS if file == USERS_FILE else ITEMS
    table = read_table(dataset.folder / file, schema, cure=remake(dataset.name), columns=[name, number])
    return pl.DataFrame({"id": pl.from_arrow(table[name]), "number": pl.from_arrow(table[number])})


def _known(
    path: Path, rows: pl.DataFrame, numbers: pl.DataFrame, column: str, dataset: DatasetInfo
) -> pl.DataFrame:
    """The rows with the data set's numbers in place of the ids of `column`."""
    found = rows.join(numbers, left_on=column, right_on="id", how="left", maintain_order="left")
    unknown = found.filter(pl.col("number").is_null())[column].unique(maintain_order=True).to_list()
    if unknown:
        one = f"{column}s" if len(unknown) > 1 else column
        _refuse(
            path,
            f"{len(unknown):,} {one} that {dataset.name} does not have ({first_few(unknown)}); ids are "
            f"those of column {column}_id in {dataset.folder / f'{column}s.parquet'}",
        )
    return found.drop(column).rename({"number": column})


def _refuse_doubles(path: Path, rows: pl.DataFrame) -> None:
    same_item = rows.select("user", "item").is_duplicated()
    if same_item.any():
        row = int(same_item.arg_true()[0]) + 1
        _refuse(path, f"a user has an item twice, for the first time in row {row}; list each item once")
    if rows["is_rank"][0]:
        same_rank = rows.select("user", "score").is_duplicated()
        if same_rank.any():
            row = int(same_rank.arg_true()[0])
            rank = -rows["score"][row]
            _refuse(path, f"a user has rank {rank:g} twice, for the first time in row {row + 1}")


def _laid_out(rows: pl.DataFrame, query_count: int) -> ExternalLists:
    """Sorted rows as (Q, K)."""
    queries = rows["query"].to_numpy()
    lengths = np.bincount(queries, minlength=query_count)
    # Each row's place in its own list. Example: lists of 2 and 3 rows have the places 0 1 0 1 2.
    places = np.arange(len(queries)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    width = int(lengths.max(initial=0)) or 1
    items = np.zeros((query_count, width), np.int32)
    scores = np.full((query_count, width), -np.inf)
    items[queries, places] = rows["item"].to_numpy()
    scores[queries, places] = rows["score"].to_numpy()
    return ExternalLists(items, scores)


def _notes(rows: pl.DataFrame, query_count: int) -> list[str]:
    missing = query_count - rows["query"].n_unique()
    return [f"{missing:,} of {query_count:,} users have no list and count as misses"] if missing else []
