"""The format `custom`: a table of actions of any origin, or one user a line, and perhaps a table of items.

CSV, TSV, JSON lines or Parquet, or the atomic files of RecBole (`.inter`, `.item`: tabs, and types in the
header), told by the suffix; the text formats may end in `.gz`. The header of CSV and TSV may tell of another
separator than the suffix does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from ...core.errors import DataError, UsageError
from .blocks import ByteBlock, read_blocks
from .delimited import (
    ATOMIC,
    CSV,
    TSV,
    Dialect,
    check_columns,
    column_types,
    read_delimited,
    read_header,
    separated,
)
from .dump import (
    Actions,
    Catalogue,
    actions_of,
    catalogue_table,
    id_faults,
    item_frame,
    joined_text,
    shortened,
    with_pictures,
)
from .encodings import not_utf_8
from .files import RawFile
from .jsonlines import no_text, read_json_lines, read_objects
from .numbers import as_ids
from .parquet import column_names, read_parquet
from .pictures import Pictures
from .problems import Problems, Reason
from .rows import Rows, text_array
from .settings import UTF_8

KEYS = ("user", "item", "time", "text", "image")

_DIALECTS = {"csv": CSV, "tsv": TSV, "tab": TSV, "inter": ATOMIC, "item": ATOMIC}  # by the suffix
_JSON_LINES = ("jsonl", "ndjson", "json")
TABLE_KINDS = (*_DIALECTS, *_JSON_LINES, "parquet")


def parse_map(text: str) -> dict[str, str]:
    """Read `user=user_id,item=item_id,text=title+genres`; raises UsageError that says what is wrong."""
    entries: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        key, equals, column = (part.strip() for part in entry.partition("="))
        if not equals or not column:
            raise UsageError(f"--map {entry}: write KEY=COLUMN, for example user=user_id,item=item_id")
        if key not in KEYS:
            raise UsageError(f"--map {entry}: unknown key {key!r}; keys are {', '.join(KEYS)}")
        if key in entries:
            raise UsageError(f"--map {entry}: {key!r} is given twice")
        entries[key] = column
    return entries


def atomic_map(interactions: Path, items: Path | None, encoding: str) -> dict[str, str]:
    """The map of RecBole's atomic files, whose columns have names by convention; {} for other files.

    Its sequences of words (token_seq: titles, genres) are the text.
    """
    types, of_items = (_types(path, encoding) for path in (interactions, items))
    usual = {"user": "user_id", "item": "item_id", "time": "timestamp"}
    found = {key: name for key, name in usual.items() if name in types}
    text = [name for name, kind in of_items.items() if kind == "token_seq"]
    return {**found, "text": "+".join(text)} if found and text else found


def _types(path: Path | None, encoding: str) -> dict[str, str]:
    file = RawFile(path, encoding=encoding) if path is not None and path.is_file() else None
    return column_types(file, _dialect(file)) if file is not None and file.kind in _DIALECTS else {}


def _dialect(file: RawFile) -> Dialect:
    usual = _DIALECTS[file.kind]
    return usual if usual is ATOMIC else separated(file, usual)


def _existing(path: Path, option: str, encoding: str) -> RawFile:
    if not path.is_file():
        what = "that is a folder" if path.is_dir() else "there is no such file"
        raise UsageError(f"{option} {path}: {what}")
    file = RawFile(path, encoding=encoding)
    if file.kind == "parquet" and path.name.lower().endswith(".gz"):
        raise UsageError(f"{option} {path}: Parquet is compressed inside; unpack the .gz")
    return file


def _table_file(path: Path, option: str, encoding: str) -> RawFile:
    file = _existing(path, option, encoding)
    if file.kind not in TABLE_KINDS:
        raise UsageError(
            f"{option} {path}: the name must end in .{', .'.join(TABLE_KINDS)} (text formats also .gz); "
            "a file with one user a line is read with --format sequences"
        )
    return file


def _line_file(path: Path, option: str, encoding: str) -> RawFile:
    file = _existing(path, option, encoding)
    if file.kind in TABLE_KINDS:
        raise UsageError(
            f"{option} {path}: --format sequences is for files with one user a line, and this is a table by "
            "its name; leave --format out"
        )
    return file


def _columns(file: RawFile) -> list[str]:
    if file.kind in _DIALECTS:
        return read_header(file, _dialect(file))
    if file.kind == "parquet":
        names = column_names(file)
    else:
        first = next(read_objects(file, Problems()), None)
        if first is None:
            raise DataError(f"{file} has no rows")
        names = list(first[1])
    for name in names:
        fault = no_text([name])
        if fault:
            raise DataError(f"{file}: the column name {shortened(name)} {fault}; rename the column")
    return names


def _read(file: RawFile, wanted: Sequence[str], problems: Problems) -> Iterator[Rows]:
    if file.kind in _DIALECTS:
        return read_delimited(file, wanted, problems, _dialect(file))
    if file.kind == "parquet":
        return read_parquet(file, wanted, problems)
    return read_json_lines(file, wanted, problems)


class Custom:
    """The files a person named; `mapping` tells which column is what."""

    def __init__(
        self,
        interactions: Path,
        items: Path | None,
        mapping: Mapping[str, str],
        form: Literal["rows", "sequences"],
        root: Path | None,
        encoding: str = UTF_8,
    ) -> None:
        self.mapping = mapping
        self.sequences = form == "sequences"
        open_file = _line_file if self.sequences else _table_file
        self.interactions = open_file(interactions, "--interactions", encoding)
        self.items = _table_file(items, "--items", encoding) if items is not None else None
        self.root = root or (items or interactions).parent
        self.pictures = Pictures(self.root)
        self._check_map()
        self.order = (
            "place in the line"
            if self.sequences
            else f"{mapping['time']}, then row of {self.interactions}"
            if "time" in mapping
            else f"row of {self.interactions} (no time is mapped: the timestamps are row numbers)"
        )

    def _check_map(self) -> None:
        needed = set() if self.sequences else {"user", "item"}
        needed |= {"item"} if self.items else set()
        for key in sorted(needed - set(self.mapping)):
            raise UsageError(f"--map lacks {key}=COLUMN; for example --map user=user_id,item=item_id")
        taken = [self.mapping[key] for key in ("user", "item", "time") if key in self.mapping]
        for column in taken:
            if taken.count(column) > 1:
                raise UsageError(f"--map: {column!r} cannot be two of user, item and time")
        for key in ("text", "image"):
            if key in self.mapping and self.items is None:
                raise UsageError(f"--map {key}={self.mapping[key]} names a column of items; add --items FILE")

    def files(self) -> list[RawFile]:
        """The files the person named."""
        return [self.interactions] + ([self.items] if self.items else [])

    def actions(self, problems: Problems) -> Iterator[Actions]:
        """The rows, or the lines of sequences."""
        return self._sequences(problems) if self.sequences else self._rows(problems)

    def _rows(self, problems: Problems) -> Iterator[Actions]:
        user, item, time = self.mapping["user"], self.mapping["item"], self.mapping.get("time")
        wanted = list(dict.fromkeys([user, item] + ([time] if time else [])))
        first = 0
        for rows in _read(self.interactions, wanted, problems):
            yield actions_of(rows, self.interactions, problems, user=user, item=item, time=time, first=first)
            first += len(rows)

    def _sequences(self, problems: Problems) -> Iterator[Actions]:
        first = 0
        for block in read_blocks(self.interactions):
            found = _word_lines(self.interactions, block, problems)
            words, lines = _id_lines(self.interactions, found, problems)
            is_item = np.ones(len(words), bool)
            starts = np.flatnonzero(np.diff(lines, prepend=-1))
            is_item[starts] = False
            lengths = np.diff(starts, append=len(words)) - 1
            count = int(lengths.sum())
            yield Actions(
                words.take(pa.array(np.repeat(starts, lengths))),
                words.filter(pa.array(is_item)),
                np.arange(first, first + count, dtype=np.int64),
            )
            first += count

    def catalogue(self, problems: Problems) -> Catalogue | None:
        """The items file with the mapped text and picture."""
        if self.items is None:
            return None
        text = [name.strip() for name in self.mapping.get("text", "").split("+") if name.strip()]
        image = self.mapping.get("image")
        item, names = self.mapping["item"], _columns(self.items)
        check_columns(self.items, names, [item, *text, *([image] if image else [])])
        table = item_frame(_read(self.items, names, problems), names, self.items, problems, item)
        items = catalogue_table(
            self.items,
            table,
            problems,
            item=item,
            text=joined_text(text) if text else pl.lit(None, pl.String),
            image=pl.col(image).replace("", None) if image else pl.lit(None, pl.String),
        )
        if image:
            items = with_pictures(items, self.pictures, problems, str(self.root))
        return Catalogue(items, [key for key in ("text", "image") if key in self.mapping])


def _word_lines(file: RawFile, block: ByteBlock, problems: Problems) -> dict[int, list[str]]:
    """The user and the items of each line, by its number."""
    lines = enumerate(block.data.split(b"\n"), start=block.first_line)
    return {line: words for line, data in lines if (words := _words(file, line, data, problems))}


def _id_lines(
    file: RawFile, found: Mapping[int, list[str]], problems: Problems
) -> tuple[pa.Array, NDArray[np.int64]]:
    """All words of the lines as ids, one after the other, and the number of each word's line.

    A line with a word that is no id is counted and left out whole.
    """
    ids = as_ids(text_array(list(chain.from_iterable(found.values()))))
    numbers = np.array(list(found), np.int64)
    line_of = np.repeat(np.arange(len(found)), [len(words) for words in found.values()])
    good = np.ones(len(found), bool)
    for wrong, words, reason in id_faults(ids, "a word"):
        lines, first = np.unique(line_of[wrong], return_index=True)
        word_of = dict(zip(lines.tolist(), np.flatnonzero(wrong)[first].tolist(), strict=True))
        bad = np.isin(np.arange(len(found)), lines) & good
        problems.rows(file, bad, numbers.tolist, partial(_said, words, word_of), reason)
        good &= ~bad
    kept = good[line_of]
    return ids.texts.filter(pa.array(kept)), numbers[line_of][kept]


def _said(words: Callable[[int], str], word_of: Mapping[int, int], line: int) -> str:
    """The fault of a line's first word that is no id."""
    return words(word_of[line])


def _words(file: RawFile, line: int, data: bytes, problems: Problems) -> list[str]:
    """The user and the items of one line; [] for a blank or malformed one."""
    if not data.strip():
        return []
    problems.found(file, 1)
    try:
        words = data.decode("utf-8").split()
    except UnicodeDecodeError:
        problems.row(file, line, "is not UTF-8", not_utf_8(data))
        return []
    if "\0" in "".join(words):
        problems.row(file, line, "holds a NUL byte")
        return []
    if len(words) < 2:
        problems.row(file, line, f"user {words[0]!r} has no item", Reason("a user has no item"))
        return []
    return words
