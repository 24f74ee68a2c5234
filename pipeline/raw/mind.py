"""MIND: the news logs of Microsoft, `behaviors.tsv` and `news.tsv` of each part (10 million actions).

A folder `MINDlarge_train` (or `MINDsmall_train`), with `…_dev` and `…_test` beside it where present, or a
folder that holds the two files itself. https://msnews.github.io/

Every row of a user carries the same click history, from before the log: it counts once, in its given order
and before all clicks of the log, which follow in the order of time. The test part has histories alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from .delimited import Dialect, read_delimited
from .dump import Actions, Catalogue, catalogue_table, ids_of, item_frame, joined_text, shortened
from .files import RawFile, RawFolder
from .ids import IdCoder
from .pictures import Pictures
from .problems import Problems, Reason
from .rows import Rows

BEHAVIORS = ("impression_id", "user_id", "time", "history", "impressions")
NEWS_KEPT = ("news_id", "category", "subcategory", "title", "abstract", "url")
NEWS = (*NEWS_KEPT, "title_entities", "abstract_entities")

SIZES, PARTS = ("MINDlarge", "MINDsmall", "MINDdemo"), ("train", "dev", "test")
HISTORY_TIME = 0  # the history has no times; every click of the log is later than this
TIME_FORMAT = "%m/%d/%Y %I:%M:%S %p"


class Mind:
    """The MIND parts under `folder`."""

    order = "click history as given (it has no times: timestamp 0), then clicks by time and row"

    def __init__(self, folder: RawFolder) -> None:
        self.root: Path = folder.path
        self.pictures = Pictures(folder.path)
        self.parts, self.unread = _parts(folder)

    def files(self) -> list[RawFile]:
        """The tables of all parts."""
        return [file for part in self.parts for file in part]

    def actions(self, problems: Problems) -> Iterator[Actions]:
        """Histories and clicks."""
        seen = IdCoder()
        for why in self.unread:
            problems.note(why)
        for behaviors, _ in self.parts:
            for rows in read_delimited(behaviors, BEHAVIORS[1:], problems, _table(BEHAVIORS)):
                yield _clicks(rows, behaviors, seen, problems)

    def catalogue(self, problems: Problems) -> Catalogue:
        """News with their title as text; abstract and category as further columns."""
        parts = []
        for _, news in self.parts:
            rows = read_delimited(news, NEWS_KEPT, problems, _table(NEWS))
            parts.append(item_frame(rows, NEWS_KEPT, news, problems, "news_id"))
        # The parts share most of their news: that an item comes again says nothing here, another title does.
        told = pl.concat(parts)
        table = told.unique("news_id", keep="first", maintain_order=True)
        titles = told.select("news_id", "title").n_unique()
        problems.tally("news come again with another title; their first is kept", titles - len(table))
        items = catalogue_table(
            self.parts[0][1],
            table,
            problems,
            item="news_id",
            text=joined_text(("title",)),
            image=pl.lit(None),
        )
        return Catalogue(items, ("text",))


def _table(names: tuple[str, ...]) -> Dialect:
    return Dialect("\t", quoted=False, names=names)


def _parts(folder: RawFolder) -> tuple[list[tuple[RawFile, RawFile]], list[str]]:
    """(behaviors, news) of each part, and in words which parts are there and not read.

    The largest set is read where several sizes are there, and one part alone where `folder` is that part.
    """
    for size in SIZES:
        found = [part for name in PARTS if (part := _part(folder, f"{size}_{name}"))]
        if found:
            others = [f"{other}_{part}" for other in SIZES if other != size for part in PARTS]
            beside = [name for name in others if list(folder.path.glob(f"{name}*"))]
            return found, [f"{name} is not read: the parts of {size} are" for name in beside]
    here = folder.path.absolute()
    names = [f"{size}_{part}" for size in SIZES for part in PARTS]
    beside = [
        name for name in names if name != here.name and (here.parent / name / "behaviors.tsv").is_file()
    ]
    unread = [f"{name} beside it is not read; --raw {here.parent} reads all parts" for name in beside]
    return [(folder.find("behaviors.tsv"), folder.find("news.tsv"))], unread


def _part(folder: RawFolder, name: str) -> tuple[RawFile, RawFile] | None:
    def find(table: str) -> RawFile | None:
        return folder.find_optional(f"{name}/{table}") or folder.find_in_archive(f"{name}.zip", table)

    behaviors, news = find("behaviors.tsv"), find("news.tsv")
    if behaviors is None and news is None:
        return None
    if behaviors is None or news is None:
        raise folder.wrong(f"{name} has no {'news.tsv' if behaviors else 'behaviors.tsv'}")
    return behaviors, news


def _clicks(rows: Rows, file: RawFile, seen: IdCoder, problems: Problems) -> Actions:
    """The clicks of some rows; `seen` knows the users whose history has been counted."""
    good = np.ones(len(rows), bool)
    columns = {**rows.columns, "user_id": ids_of(rows, file, problems, "user_id", good)}
    frame = pl.DataFrame({name: pl.Series(column) for name, column in columns.items()})
    frame = frame.with_columns(
        pl.col("time").str.to_datetime(TIME_FORMAT, strict=False).dt.epoch("s").alias("timestamp")
    )
    timeless = frame["timestamp"].is_null().to_numpy()
    problems.rows(
        file,
        good & timeless,
        rows.lines,
        lambda row: f"time {shortened(frame['time'][row])} is no time",
        Reason("time is no time", "MIND writes times as 11/15/2019 8:55:22 AM"),
    )
    frame = frame.filter(good & ~timeless).with_row_index("row")
    users = frame["user_id"].to_arrow()
    newcomers = frame.filter(pl.Series(seen.newcomers(users)))
    history = _exploded(newcomers.with_columns(pl.lit(HISTORY_TIME).alias("timestamp")), "history", r"\S+")
    both = pl.concat([history, _exploded(frame, "impressions", r"\S+-1(?:\s|$)")])
    return Actions(
        pa.DictionaryArray.from_arrays(both["row"].to_arrow(), users),
        both["item"].to_arrow(),
        both["timestamp"].to_numpy(),
    )


def _exploded(frame: pl.DataFrame, column: str, pattern: str) -> pl.DataFrame:
    """Row and time of each match of `pattern` in `column`, in order; a click loses its mark `-1`."""
    found = frame.select(
        "row", pl.col("timestamp").cast(pl.Int64), pl.col(column).str.extract_all(pattern).alias("item")
    )
    matches = found.filter(pl.col("item").list.len() > 0).explode("item")
    return matches.with_columns(pl.col("item").str.strip_chars_end().str.strip_suffix("-1"))
