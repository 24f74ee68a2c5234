"""JSON lines as columns of text: Arrow parses whole blocks; a block that it refuses is read line by line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.json

from ...core.artifacts import parse_json
from .blocks import ByteBlock, read_blocks
from .delimited import check_columns
from .encodings import not_utf_8
from .files import RawFile
from .numbers import number_text
from .problems import Problems, Reason
from .rows import Rows, flat, text_array

_NO_OBJECT = Reason("is no JSON object", "the file should have one JSON object a line")


def as_text(value: object) -> str | None:
    """A JSON value as text: lists joined by commas, null and NaN are null, objects as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, list):
        return ", ".join(filter(None, map(as_text, value)))
    return json.dumps(value, ensure_ascii=False)


def read_objects(
    file: RawFile, problems: Problems, parse: Callable[[str], Any] = parse_json
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, object) of a file with one object a line; other lines are counted in `problems`."""
    for block in read_blocks(file):
        yield from _objects(file, block, problems, parse)


def _objects(
    file: RawFile, block: ByteBlock, problems: Problems, parse: Callable[[str], Any]
) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, data in enumerate(block.data.split(b"\n"), start=block.first_line):
        if not data.strip():
            continue
        problems.found(file, 1)
        try:
            value = parse(data.decode("utf-8"))
        except UnicodeDecodeError:
            problems.row(file, line, "is not UTF-8", not_utf_8(data))
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            problems.row(file, line, f"is no JSON object ({type(error).__name__})", _NO_OBJECT)
        else:
            if isinstance(value, dict):
                yield line, value
            else:
                problems.row(file, line, f"is no JSON object but {type(value).__name__}", _NO_OBJECT)


def _slowly(file: RawFile, block: ByteBlock, wanted: Sequence[str], problems: Problems) -> Rows:
    lines: list[int] = []
    columns: dict[str, list[str | None]] = {name: [] for name in wanted}
    for line, value in _objects(file, block, problems, parse_json):
        try:
            texts = {name: as_text(value.get(name)) for name in wanted}
        except RecursionError:
            problems.row(file, line, "has a list that is nested too deeply")
            continue
        fault = no_text(texts.values())
        if fault:
            problems.row(file, line, fault)
            continue
        lines.append(line)
        for name, text in texts.items():
            columns[name].append(text)
    return Rows({name: text_array(column) for name, column in columns.items()}, lambda: lines)


def no_text(values: Iterable[str | None]) -> str | None:
    """What is wrong with a row that JSON or Python escapes made, None where all its texts can be kept."""
    texts = [text for text in values if text is not None]
    if any("\0" in text for text in texts):
        return "holds a NUL byte"
    if any(not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text) for text in texts):
        return "holds half a surrogate pair, which is no text"
    return None


def _at_once(block: ByteBlock, schema: pa.Schema) -> Rows | None:
    # Arrow's parser crashes where the first value is no object, and takes several values on a line.
    objects = block.data.startswith(b"{") and block.data.count(b"\n{") + 1 == block.line_count
    if not objects or rb"\u0000" in block.data or b"\0" in block.data:
        return None
    try:
        pa.array([block.data]).cast(pa.string())  # Arrow's parser takes any bytes as UTF-8 unseen
        table = pa.json.read_json(
            pa.BufferReader(block.data),
            # Without threads, for the reason that delimited.py gives.
            read_options=pa.json.ReadOptions(
                block_size=max(len(block.data) // 4, 1 << 20), use_threads=False
            ),
            parse_options=pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != block.line_count:
        return None
    lines = range(block.first_line, block.first_line + table.num_rows)
    return Rows({name: flat(table[name]) for name in schema.names}, lambda: lines)


def _schema(first: dict[str, Any], wanted: Sequence[str]) -> pa.Schema | None:
    """How Arrow should read the wanted fields, told by the first object; None where it cannot."""
    kinds = {str: pa.string(), int: pa.int64(), type(None): pa.string()}
    types = [kinds.get(type(first.get(name))) for name in wanted]
    return None if None in types else pa.schema(list(zip(wanted, types, strict=True)))


def read_json_lines(file: RawFile, wanted: Sequence[str], problems: Problems) -> Iterator[Rows]:
    """Yield the fields `wanted` of a file with one JSON object a line, some rows at a time, as text.

    A field of whole numbers may come as int64. A field that an object lacks is null, and so is NaN.
    Raises DataError for an empty file, a damaged one, or one whose first object lacks a wanted field.
    """
    schema: pa.Schema | None = None
    known = False
    for block in read_blocks(file):
        if not known:
            first = next((value for _, value in _objects(file, block, Problems(), parse_json)), None)
            if first is not None:
                check_columns(file, list(first), wanted)
                schema, known = _schema(first, wanted), True
        rows = _at_once(block, schema) if schema else None
        if rows is None:
            rows = _slowly(file, block, wanted, problems)
        else:
            problems.found(file, len(rows))
        yield rows
