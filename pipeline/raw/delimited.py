"""CSV and TSV as columns of text: Arrow parses whole blocks; a block with a malformed row is read row by row.

Arrow is fast, but cannot say which line is malformed and why. The slow way can, and is used for such blocks
only.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ...core.errors import DataError
from ...core.words import first_few
from .blocks import LONGEST_LINE, ByteBlock, read_blocks
from .encodings import not_utf_8
from .files import RawFile
from .problems import Problems, Reason
from .rows import Rows, flat, text_array

_SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}


@dataclass(frozen=True)
class Dialect:
    """How a file separates its fields."""

    delimiter: str = ","
    quoted: bool = True
    """Whether fields may stand in double quotes, as in RFC 4180."""
    names: tuple[str, ...] | None = None
    """The columns of a file without a header; None where the first row is the header."""
    recode: Callable[[bytes], bytes] | None = None
    """What turns whole lines of the file into UTF-8 with this delimiter, for files that are neither."""


CSV, TSV = Dialect(), Dialect("\t")
ATOMIC = Dialect(
    "\t", quoted=False
)  # of RecBole, with the type of each column in the header: `item_id:token`
_TYPED = re.compile(r"([^:]+):(token|token_seq|float|float_seq)")

_RETURN = "has a carriage return within the row"
_OTHER_FIELDS = Reason(
    "has another number of fields",
    "see whether the file is what its name says, with fields separated as expected",
)
_AGAIN = Reason("repeats the header")


def _blocks(file: RawFile, dialect: Dialect) -> Iterator[ByteBlock]:
    for block in read_blocks(file, quoted=dialect.quoted):
        yield ByteBlock(dialect.recode(block.data), block.first_line) if dialect.recode else block


def _parse(block: ByteBlock, dialect: Dialect) -> Iterator[tuple[int, list[str] | str]]:
    """Yield (line, fields) of each row that is not blank; what is wrong where no fields can be told.

    After such a line the next one is a row again, so that a stray quote takes no other row with it.
    """
    csv.field_size_limit(LONGEST_LINE * 2)
    text = io.StringIO(block.data.decode("utf-8", errors="surrogateescape"), newline="\n")
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE
    lines = text.readlines()
    at = 0
    while at < len(lines):
        first = at
        reader = csv.reader(
            (lines[place] for place in range(first, len(lines))),
            delimiter=dialect.delimiter,
            quoting=quoting,
            strict=True,
        )
        try:
            for fields in reader:
                if fields:
                    yield block.first_line + at, fields
                at = first + reader.line_num
        except csv.Error as error:
            quote = "has a quote within a field, or one that is never closed"
            yield block.first_line + at, _RETURN if "new-line" in str(error) else quote
            at += 1


def separated(file: RawFile, usual: Dialect) -> Dialect:
    """The dialect of a file whose name says `usual`: another sign separates it where its header says so.

    Spreadsheet programs write "CSV" with semicolons where people write 1,5 for one and a half. A header that
    is a single name to `usual`, and holds another sign, is separated by that sign: `user;item;time`.
    """
    header = _header(file, usual)
    sign = _other_sign(header)
    return replace(usual, delimiter=sign) if sign else usual


def _other_sign(header: Sequence[str]) -> str | None:
    """What may separate the names of a header that was read as a single name."""
    return next((sign for sign in _SEPARATORS if len(header) == 1 and sign in header[0]), None)


def read_header(file: RawFile, dialect: Dialect = CSV) -> list[str]:
    """The names of the columns, without the types that atomic files have behind them."""
    header = _header(file, dialect)
    return [name.partition(":")[0] for name in header] if _types(header) else header


def column_types(file: RawFile, dialect: Dialect) -> dict[str, str]:
    """The columns of one of RecBole's atomic files with their types, as {"item_id": "token"}; else {}.

    https://recbole.io/docs/user_guide/data/atomic_files.html
    """
    return _types(_header(file, dialect))


def _types(header: Sequence[str]) -> dict[str, str]:
    found = [_TYPED.fullmatch(name) for name in header]
    return {name[1]: name[2] for name in found if name} if all(found) else {}


def _header(file: RawFile, dialect: Dialect) -> list[str]:
    if dialect.names is not None:
        return list(dialect.names)
    first = next(_blocks(file, dialect))
    fields = next((fields for _, fields in _parse(first, dialect)), [])
    if isinstance(fields, str):
        raise DataError(f"{file}, line {first.first_line}: the header {fields}")
    if any(not name.replace("\t", "").isprintable() for name in fields):
        raise DataError(f"{file}, line {first.first_line}: the header is not plain UTF-8 text")
    return [name.strip() for name in fields]


def check_columns(file: RawFile, header: Sequence[str], wanted: Sequence[str], delimiter: str = "") -> None:
    """Raise DataError where a wanted column is missing or occurs twice."""
    for name in wanted:
        if header.count(name) > 1:
            raise DataError(f"{file}, line 1: column {name!r} occurs {header.count(name)} times")
        if name not in header:
            other = _other_sign(header) if delimiter else None
            hint = f"; it looks separated by {_SEPARATORS[other]}" if other else ""
            raise DataError(f"{file} has no column {name!r}; it has {_listed(header) or 'none'}{hint}")


def _listed(header: Sequence[str]) -> str:
    """The columns as a message shows them: a damaged file may have any number, of any length."""
    shown = [name if len(name) <= 40 else name[:40] + "…" for name in header]
    return first_few(shown, 30)


def _slowly(
    file: RawFile,
    block: ByteBlock,
    names: Sequence[str],
    wanted: Sequence[str],
    dialect: Dialect,
    problems: Problems,
) -> Rows:
    columns: list[list[str]] = [[] for _ in wanted]
    places = [names.index(name) for name in wanted]
    lines: list[int] = []
    for line, fields in _parse(block, dialect):
        problems.found(file, 1)
        if isinstance(fields, str):
            problems.row(file, line, fields)
            continue
        if len(fields) != len(names):
            problems.row(file, line, f"has {len(fields)} fields, expected {len(names)}", _OTHER_FIELDS)
            continue
        values = [fields[place] for place in places]
        if not all(value.isascii() or _is_unicode(value) for value in values):
            data = "; ".join(values).encode("utf-8", errors="surrogateescape")
            problems.row(file, line, "is not UTF-8", not_utf_8(data))
            continue
        if any("\0" in value for value in values):
            problems.row(file, line, "holds a NUL byte")
            continue
        lines.append(line)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    return Rows(
        {name: text_array(column) for name, column in zip(wanted, columns, strict=True)}, lambda: lines
    )


def _is_unicode(value: str) -> bool:
    """Whether no byte had to be escaped when the value was decoded."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _quotes_surround_fields(data: bytes, delimiter: str) -> bool:
    """Whether every second quote ends a field and the others begin one, doubled quotes aside."""
    if b'"' not in data:
        return True
    whole = np.frombuffer(b"\n" + data + b"\n", np.uint8)
    quotes = np.flatnonzero(whole == ord('"'))
    ends = np.isin(whole, np.frombuffer(b'"\r\n' + delimiter.encode(), np.uint8))
    opening, closing = quotes[::2], quotes[1::2]
    return len(opening) == len(closing) and bool(ends[opening - 1].all() and ends[closing + 1].all())


def _at_once(block: ByteBlock, names: Sequence[str], wanted: Sequence[str], dialect: Dialect) -> Rows | None:
    """The block's rows as Arrow parses them, or None where a row is malformed."""
    data = block.data
    # Arrow ends a row at a lone carriage return, which is no end of a line here, and takes a stray quote for
    # one that opens a field.
    if b"\0" in data or data.count(b"\r") != data.count(b"\r\n"):
        return None
    if dialect.quoted and not _quotes_surround_fields(data, dialect.delimiter):
        return None
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            # Without threads: Arrow's threads would go on reading after one has met a malformed row, and a
            # process that ends meanwhile is aborted ("terminate called without an active exception").
            read_options=pa.csv.ReadOptions(column_names=list(names), block_size=1 << 21, use_threads=False),
            parse_options=pa.csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char='"' if dialect.quoted else False,
                newlines_in_values=dialect.quoted and b'"' in data,
            ),
            convert_options=pa.csv.ConvertOptions(
                include_columns=list(wanted),
                column_types=dict.fromkeys(wanted, pa.string()),
                null_values=[],
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None

    def lines() -> Sequence[int]:
        if table.num_rows == block.line_count:
            return range(block.first_line, block.first_line + table.num_rows)
        return [line for line, _ in _parse(block, dialect)]

    return Rows({name: flat(table[name]) for name in wanted}, lines)


def read_delimited(
    file: RawFile, wanted: Sequence[str], problems: Problems, dialect: Dialect = CSV
) -> Iterator[Rows]:
    """Yield the columns `wanted` of a file, some rows at a time.

    Rows with another number of fields, with bytes that are not UTF-8 or with a NUL byte, and rows that repeat
    the header, are counted in `problems` and left out. Raises DataError for an empty file, a column that is
    missing or occurs twice, and a damaged file.
    """
    header = read_header(file, dialect)
    check_columns(file, header, wanted, dialect.delimiter)
    # A column that is not read may occur twice in the header; Arrow needs distinct names.
    distinct = [name if name in wanted else f"#{place}" for place, name in enumerate(header)]
    for index, block in enumerate(_blocks(file, dialect)):
        body = _without_header(block, dialect) if index == 0 and dialect.names is None else block
        if body.data:
            rows = _at_once(body, distinct, wanted, dialect)
            if rows is None:
                rows = _slowly(file, body, distinct, wanted, dialect, problems)
            else:
                problems.found(file, len(rows))
            yield rows if dialect.names else _without_headers(rows, file, problems)


def _without_headers(rows: Rows, file: RawFile, problems: Problems) -> Rows:
    """Leave out rows that say the header again, as files put behind one another have them."""
    repeats = np.ones(len(rows), bool)
    for name, column in rows.columns.items():
        repeats &= np.asarray(pc.equal(column, name))
        if not repeats.any():
            return rows
    problems.rows(file, repeats, rows.lines, lambda _: "repeats the header", _AGAIN)
    return rows.kept(~repeats)


def _without_header(block: ByteBlock, dialect: Dialect) -> ByteBlock:
    rows = _parse(block, dialect)
    next(rows)
    following = next(rows, None)
    if following is None:
        return ByteBlock(b"", block.first_line)
    skipped = following[0] - block.first_line
    start = 0
    for _ in range(skipped):
        start = block.data.index(b"\n", start) + 1
    return ByteBlock(block.data[start:], following[0])
