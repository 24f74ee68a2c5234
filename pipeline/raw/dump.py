"""The interface of readers of raw dumps: actions in batches, and the table of items (catalogue)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from ...core.errors import DataError
from ...core.schema import IMAGE, ITEM, ITEM_ID, TEXT
from ...core.words import first_few
from .files import RawFile
from .numbers import NO_TEXT, Ids, as_ids
from .pictures import Pictures
from .problems import Problems, Reason
from .rows import Rows, strings
from .times import parse_times

CUT_TIMES = (
    "times of {} are cut to whole seconds, and actions within a second keep the order of rows "
    "(map a column of whole numbers, such as milliseconds, to keep them apart)"
)


@dataclass(frozen=True)
class Actions:
    """Some actions in the order of the dump: R outside ids of users and items, and R times (int64).

    Ids are Arrow strings; where the same id comes many times they may be a dictionary array of strings.
    """

    users: pa.Array
    items: pa.Array
    timestamps: NDArray[np.int64]


@dataclass(frozen=True)
class Catalogue:
    """The table of items: item_id, text and image (path relative to raw), then further columns.

    `modalities` are the kinds of content the dump has at all; where it has none, no item is dropped for
    lack of content.
    """

    table: pl.DataFrame
    modalities: Sequence[str]
    cure: str = ""
    """The command that fetches missing pictures, "" where there is none."""


class Dump(Protocol):
    """One raw dump, opened; there is a class for each format under `pipeline/raw/`."""

    root: Path
    """The folder that image paths are relative to."""
    pictures: Pictures
    order: str
    """How the actions of a user are ordered, in words, for the manifest."""

    def files(self) -> list[RawFile]:
        """Every file that is read."""

    def actions(self, problems: Problems) -> Iterator[Actions]:
        """The actions, some at a time, in the order of the dump."""

    def catalogue(self, problems: Problems) -> Catalogue | None:
        """The items, or None where the dump says nothing about them."""


def actions_of(
    rows: Rows, file: RawFile, problems: Problems, *, user: str, item: str, time: str | None, first: int = 0
) -> Actions:
    """Turn rows of text into actions; rows without user, item or a readable time are counted and left out.

    Without a `time` column the row's place in the file is its time: the first row here has place `first`.
    """
    good = np.ones(len(rows), bool)
    users, items = (ids_of(rows, file, problems, name, good) for name in (user, item))
    timestamps = np.arange(first, first + len(rows), dtype=np.int64)
    if time is not None:
        column = rows.columns[time]
        timestamps, wrong, cut = parse_times(column)
        problems.tally(CUT_TIMES.format(file), cut + rows.cut_times)
        problems.rows(
            file,
            good & wrong,
            rows.lines,
            lambda index: (
                f"{time} {shortened(column[index].as_py())} is neither a whole number nor an ISO date"
            ),
            Reason(f"{time} is no time", "write times as whole numbers or as 2024-05-01 09:30:00"),
        )
        good &= ~wrong
    if good.all():
        return Actions(users, items, timestamps)
    mask = pa.array(good)
    return Actions(users.filter(mask), items.filter(mask), timestamps[good])


def ids_of(rows: Rows, file: RawFile, problems: Problems, name: str, good: NDArray[np.bool_]) -> pa.Array:
    """The ids in the column `name` as text; rows without one are counted, and unmarked in `good`."""
    ids = as_ids(rows.columns[name])
    for wrong, words, reason in id_faults(ids, name):
        problems.rows(file, good & wrong, rows.lines, words, reason)
        good &= ~wrong
    problems.tally(
        f"values of {name} in {file} are floating-point numbers beyond 2^53, where several ids may have "
        "become one; keep ids as integers or text",
        ids.rounded,
    )
    return ids.texts


def id_faults(ids: Ids, name: str) -> Iterator[tuple[NDArray[np.bool_], Callable[[int], str], Reason]]:
    """The faults of a column of ids: for each kind the rows, a message for a row, and the reason."""

    def nothing(index: int) -> str:
        value = ids.texts[index].as_py()
        return f"{name} is empty" if value in (None, "") else f"{name} is {value}, which is no id"

    yield ids.nothing, nothing, Reason(f"{name} is empty", "fill it in")
    yield (
        ids.fractions,
        lambda index: f"{name} {ids.texts[index]} is a number with a fraction, and ids are whole",
        Reason(f"{name} has a fraction", "see whether this is the column with the ids"),
    )


def shortened(value: object) -> str:
    """A value as a message shows it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"


def joined_text(columns: Sequence[str]) -> pl.Expr:
    """One text from several columns: trimmed, and joined as sentences.

    Empty texts and NaN are left out.
    """
    parts = [pl.col(name).str.replace_all(r"\s+", " ").str.strip_chars(" .") for name in columns]
    text = pl.concat_str(
        [pl.when(~part.is_in(["", *NO_TEXT])).then(part) for part in parts],
        separator=". ",
        ignore_nulls=True,
    )
    return pl.when(text != "").then(text)


def catalogue_table(
    file: RawFile, table: pl.DataFrame, problems: Problems, *, item: str, text: pl.Expr, image: pl.Expr
) -> pl.DataFrame:
    """The table of a catalogue: canonical columns first, then the dump's own.

    An item that occurs again is counted and its first row kept. Columns of the dump named like canonical
    ones get the prefix `source_`, so often that the name is free. Raises DataError for an empty table.
    """
    canonical = (ITEM, ITEM_ID, TEXT, IMAGE)
    own = table.rename({name: _free_name(name, table.columns) for name in table.columns if name in canonical})
    lead = table.select(
        pl.col(item).alias(ITEM_ID), text.cast(pl.String).alias(TEXT), image.cast(pl.String).alias(IMAGE)
    )
    own = own.drop(_free_name(item, table.columns) if item in canonical else item)
    whole = pl.concat([lead, own], how="horizontal")
    if whole.is_empty():
        raise DataError(f"{file} has no items{problems.why_empty()}")
    once = whole.unique(ITEM_ID, keep="first", maintain_order=True)
    if once.height < whole.height:
        again = whole.height - once.height
        problems.note(f"{file}: {again:,} rows of items that occurred before, left out")
    return once


def _free_name(name: str, taken: Sequence[str]) -> str:
    free = f"source_{name}"
    return free if free not in taken else _free_name(free, taken)


def with_pictures(table: pl.DataFrame, pictures: Pictures, problems: Problems, where: str) -> pl.DataFrame:
    """Set image to null where the picture is not there; say in one line how many are missing."""
    paths = table[IMAGE].to_list()
    outside = [path for path in paths if path and not pictures.inside(path)]
    if outside:
        problems.tally(
            f"pictures are no paths within {where} (the first: {shortened(outside[0])})", len(outside)
        )
    there = [path if path and pictures.has(path) else None for path in paths]
    pairs = zip(paths, there, strict=True)
    missing = [path for path, found in pairs if found is None and path and pictures.inside(path)]
    if missing:
        count = f"{len(missing):,} of {len(paths):,}"
        none = "" if any(there) else "; none is there: --raw names the folder that they lie in"
        problems.note(f"{count} pictures are missing in {where} ({first_few(missing)}){none}")
    return table.with_columns(pl.Series(IMAGE, there, pl.String))


def with_named_pictures(
    table: pl.DataFrame, pictures: Pictures, folder: str, problems: Problems, cure: str
) -> pl.DataFrame:
    """Set image to the picture in `folder` that is named by the item's id, null where there is none.

    Says in one line how many are missing, and the `cure`.
    """
    found = pictures.named(folder)
    paths = [found.get(name) for name in table[ITEM_ID]]
    missing = paths.count(None)
    if missing:
        problems.note(f"{missing:,} of {len(paths):,} items have no picture in {folder}/{cure}")
    return table.with_columns(pl.Series(IMAGE, paths, pl.String))


def item_frame(
    batches: Iterable[Rows], names: Sequence[str], file: RawFile, problems: Problems, item: str
) -> pl.DataFrame:
    """Rows of items as one table of text; rows without an id in `item` are counted and left out.

    Raises DataError where strict and there is such a row.
    """
    kept = []
    for rows in batches:
        good = np.ones(len(rows), bool)
        ids = ids_of(rows, file, problems, item, good)
        kept.append(replace(rows, columns={**rows.columns, item: ids}).kept(good))
    return text_frame(kept, names)


def text_frame(batches: Sequence[Rows], names: Sequence[str]) -> pl.DataFrame:
    """Rows of text as one Polars table."""
    columns = {
        name: pa.chunked_array([strings(rows.columns[name]) for rows in batches], pa.string())
        for name in names
    }
    return cast(pl.DataFrame, pl.from_arrow(pa.table(columns)))
