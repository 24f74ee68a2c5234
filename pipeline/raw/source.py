"""What a reader of a raw dump gives: actions in batches, and the catalogue of items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...core.errors import DataError
from ...core.schema import IMAGE, ITEM, ITEM_ID, TEXT
from ...core.words import first_few
from .files import RawFile
from .pictures import Pictures
from .problems import Problems
from .rows import Rows, strings
from .times import parse_times

CUT_TIMES = (
    "times of {} are cut to whole seconds, and actions within a second keep the order of rows "
    "(map a column of whole numbers, such as milliseconds, to keep them apart)"
)


@dataclass(frozen=True)
class Actions:
    """Some actions in the order of their source: R outside ids of users and items, and R times (int64).

    Ids are Arrow strings; where the same id comes many times they may be a dictionary array of strings.
    """

    users: pa.Array
    items: pa.Array
    timestamps: NDArray[np.int64]


@dataclass(frozen=True)
class Catalogue:
    """What is known of the items: item_id, text and image (path relative to raw), then further columns.

    `modalities` are the kinds of content the source has at all; where it has none, no item is dropped for
    lack of content.
    """

    table: pl.DataFrame
    modalities: Sequence[str]


class Source(Protocol):
    """One raw dump, opened; a class per format under `pipeline/raw/`."""

    root: Path
    """The folder that image paths are relative to."""
    pictures: Pictures
    order: str
    """How the actions of a user are ordered, in words, for the manifest."""

    def files(self) -> list[RawFile]:
        """Every file that is read."""

    def actions(self, problems: Problems) -> Iterator[Actions]:
        """The actions, some at a time, in the order of the source."""

    def catalogue(self, problems: Problems) -> Catalogue | None:
        """The items, or None where the source says nothing about them."""


def actions_of(
    rows: Rows, file: RawFile, problems: Problems, *, user: str, item: str, time: str | None, first: int = 0
) -> Actions:
    """Turn rows of text into actions; rows without user, item or a readable time are counted and left out.

    Without a `time` column the row's place in the file is its time: the first row here has place `first`.
    """
    users, items = strings(rows.columns[user]), strings(rows.columns[item])
    good = np.ones(len(rows), bool)
    for name, column in ((user, users), (item, items)):
        empty = np.asarray(pc.fill_null(pc.equal(column, ""), True))
        problems.rows(file, good & empty, rows.lines, partial(_is_empty, name))
        good &= ~empty
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
        )
        good &= ~wrong
    if good.all():
        return Actions(users, items, timestamps)
    mask = pa.array(good)
    return Actions(users.filter(mask), items.filter(mask), timestamps[good])


def _is_empty(name: str, _: int) -> str:
    return f"{name} is empty"


def shortened(value: object) -> str:
    """A value as a message shows it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"


def joined(columns: Sequence[str]) -> pl.Expr:
    """One text of several columns: trimmed, empty ones left out, put after one another as sentences."""
    parts = [pl.col(name).str.replace_all(r"\s+", " ").str.strip_chars(" .") for name in columns]
    text = pl.concat_str(
        [pl.when(part != "").then(part) for part in parts], separator=". ", ignore_nulls=True
    )
    return pl.when(text != "").then(text)


def catalogue_table(
    file: RawFile, table: pl.DataFrame, problems: Problems, *, item: str, text: pl.Expr, image: pl.Expr
) -> pl.DataFrame:
    """The table of a catalogue: canonical columns first, then the source's own.

    An item that occurs again is counted and its first row kept; a row without an id is left out. Columns of
    the source named like canonical ones get the prefix `source_`, so often that the name is free. Raises
    DataError for an empty table.
    """
    canonical = (ITEM, ITEM_ID, TEXT, IMAGE)
    own = table.rename({name: _free_name(name, table.columns) for name in table.columns if name in canonical})
    lead = table.select(
        pl.col(item).alias(ITEM_ID), text.cast(pl.String).alias(TEXT), image.cast(pl.String).alias(IMAGE)
    )
    own = own.drop(_free_name(item, table.columns) if item in canonical else item)
    whole = pl.concat([lead, own], how="horizontal")
    named = whole.filter(pl.col(ITEM_ID).fill_null("") != "")
    if named.is_empty():
        why = f"; {problems.lines()[0]}" if problems.malformed else ""
        raise DataError(f"{file} has no items{why}")
    once = named.unique(ITEM_ID, keep="first", maintain_order=True)
    for count, what in (
        (whole.height - named.height, f"without {item}, left out"),
        (named.height - once.height, "of items that occurred before, left out"),
    ):
        if count:
            problems.note(f"{file}: {count} rows {what}")
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
        problems.note(f"{count} pictures are missing in {where} ({first_few(missing)})")
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


def text_frame(batches: Sequence[Rows], names: Sequence[str]) -> pl.DataFrame:
    """Rows of text as one Polars table."""
    columns = {
        name: pa.chunked_array([strings(rows.columns[name]) for rows in batches], pa.string())
        for name in names
    }
    return cast(pl.DataFrame, pl.from_arrow(pa.table(columns)))
