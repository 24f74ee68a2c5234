"""Which content each item has, and the hash of its bytes (its key), by which a store knows encoded content.

A picture's bytes are read only when its path, size or time of change differ from the last scan, so a scan of
an unchanged catalogue costs one `stat` an item.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import DataError
from ..core.progress import progress
from ..core.schema import IMAGE, ITEM_ID, TEXT
from .pictures import UnreachableFileError
from .store import DETAIL, KEY, KEY_TYPE, REASON

SOURCE, SIZE, MODIFIED = "source", "size", "modified"
# Reasons why an item has no content: the table of items has no path; no such file; no text.
UNNAMED, FILE_MISSING, NO_TEXT = "no picture named", "file missing", "no text"
READ_AHEAD = 1024  # files handed to the reading threads at once

# One row an item, item 1 first. `source` is the text itself or the picture's path; `size` in bytes and
# `modified` in nanoseconds are known for pictures; `key` is null where `reason` says why there is no content.
CONTENT = pa.schema(
    [
        pa.field(SOURCE, pa.string()),
        pa.field(SIZE, pa.int64()),
        pa.field(MODIFIED, pa.int64()),
        pa.field(KEY, KEY_TYPE),
        pa.field(REASON, pa.string()),
        pa.field(DETAIL, pa.string()),
    ]
)


def content_key(content: bytes) -> bytes:
    """The key of content in a store: the SHA-256 of its bytes. Items with equal content share a vector."""
    return hashlib.sha256(content).digest()


def scan_texts(items: pa.Table) -> pa.Table:
    """The CONTENT of the items' texts."""
    texts = items[TEXT].to_pylist()
    usable = [text is not None and bool(text.strip()) for text in texts]
    keys = [content_key(text.encode()) if ok else None for text, ok in zip(texts, usable, strict=True)]
    reasons = [None if ok else NO_TEXT for ok in usable]
    unknown = [None] * len(texts)
    return pa.table([texts, unknown, unknown, keys, reasons, unknown], schema=CONTENT)


def read_picture(raw: Path, path: str) -> bytes:
    """The bytes of the picture at `path` inside the raw folder.

    A raw folder's top level may be a link (`images` on another disk); below it, nothing may lead outside.
    Raises UnreachableFileError.
    """
    parts = PurePosixPath(path).parts
    # What the picture must lie in, once all links are followed.
    folder = raw / parts[0] if len(parts) > 1 else raw
    if path.startswith("/") or ".." in parts:
        raise UnreachableFileError("outside the raw folder", path)
    try:
        real = (raw / path).resolve(strict=True)
        if not real.is_relative_to(folder.resolve()):
            raise UnreachableFileError("outside the raw folder", f"leads to {real}")
        content = real.read_bytes()
    except FileNotFoundError:
        raise UnreachableFileError(FILE_MISSING, path) from None
    except (OSError, RuntimeError, ValueError) as error:  # denied, a folder, links in a circle, a NUL
        raise UnreachableFileError("file not readable", f"{path}: {error}") from None
    if not content:
        raise UnreachableFileError("empty file", path)
    return content


def scan_pictures(items: pa.Table, raw: Path, previous: pa.Table | None) -> pa.Table:
    """The CONTENT of the items' pictures; hashes of `previous` serve where the file is unchanged.

    Raises DataError where the raw folder is missing.
    """
    if not raw.is_dir():
        raise DataError(f"the raw folder {raw} is missing; point --raw at the folder with the pictures")
    sources = items[IMAGE].combine_chunks()
    paths = [path or None for path in sources.to_pylist()]
    sizes, modified = _stat_all(raw, paths)
    keys = _unchanged(sources, sizes, modified, previous)
    reasons: list[str | None] = [None if path else UNNAMED for path in paths]
    details: list[str | None] = [None] * len(paths)
    # Those without a hash from the last scan are read, in threads that each fill their own places.
    unread = [index for index, path in enumerate(paths) if path and keys[index] is None]

    def read(index: int) -> None:
        try:
            keys[index] = content_key(read_picture(raw, str(paths[index])))
        except UnreachableFileError as error:
            reasons[index], details[index] = error.reason, error.detail

    with (
        ThreadPoolExecutor(max_workers=min(16, 2 * (os.cpu_count() or 1))) as pool,
        progress("read pictures", len(unread), "files") as advance,
    ):
        for start in range(0, len(unread), READ_AHEAD):
            batch = unread[start : start + READ_AHEAD]
            list(pool.map(read, batch))
            advance(len(batch))
    return pa.table([paths, _nullable(sizes), _nullable(modified), keys, reasons, details], schema=CONTENT)


def refuse_unusable(items: pa.Table, table: pa.Table) -> None:
    """Raise DataError that names the first item for which `table` has a reason (`--strict`)."""
    index = pc.index(pc.is_valid(table[REASON]), True).as_py()
    if index >= 0:
        detail = table[DETAIL][index].as_py()
        raise DataError(
            f"--strict: item {items[ITEM_ID][index].as_py()}: {table[REASON][index].as_py()}"
            f"{f' ({detail})' if detail else ''}"
        )


def source_stamp(source: str) -> list[list[Any]]:
    """Name, size and time of change of a local file or a folder's files; [] for what is no local path.

    Comparing stamps is a cheap check that an encoder's files have not changed.
    """
    root = Path(source)
    files = sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else [root]
    return [
        [str(file.relative_to(root)), file.stat().st_size, file.stat().st_mtime_ns]
        for file in files
        if file.exists()
    ]


def _stat_all(raw: Path, paths: list[str | None]) -> tuple[np.ndarray, np.ndarray]:
    sizes, modified = np.full(len(paths), -1, np.int64), np.full(len(paths), -1, np.int64)
    root = str(raw)
    for index, path in enumerate(paths):
        if path is not None:
            try:
                status = os.stat(f"{root}/{path}")  # noqa: PTH116 - Path is slow a million times
            except (OSError, ValueError):
                continue  # a missing or denied file; reading it later raises an error with the reason
            sizes[index], modified[index] = status.st_size, status.st_mtime_ns
    return sizes, modified


def _unchanged(
    sources: pa.Array, sizes: np.ndarray, modified: np.ndarray, previous: pa.Table | None
) -> list[bytes | None]:
    """Each item's key from the last scan, where path, size and time of change are what they were."""
    if previous is None or len(previous) == 0:
        return [None] * len(sources)
    # Where each path stood in the last scan; null for a new one, whose comparison
    # below is null too, so False.
    place = pc.index_in(sources, value_set=previous[SOURCE].combine_chunks(), skip_nulls=True)
    before = previous.select([SIZE, MODIFIED, KEY]).take(place)
    same = pc.and_(
        pc.equal(before[SIZE], pa.array(sizes)), pc.equal(before[MODIFIED], pa.array(modified))
    ).fill_null(False)
    keys: list[bytes | None] = pc.if_else(same, before[KEY], pa.scalar(None, KEY_TYPE)).to_pylist()
    return keys


def _nullable(values: np.ndarray) -> pa.Array:
    return pa.array(values, mask=values < 0)
