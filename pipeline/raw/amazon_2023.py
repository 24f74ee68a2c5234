"""Amazon Reviews 2023 (https://amazon-reviews-2023.github.io) where the edition of 2018 is expected.

Its products are named by `parent_asin`, its users by `user_id`, its times are milliseconds in `timestamp`,
and its files end in `.jsonl`. Renamed to the names of 2018 they would give no items, and no word of why.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from ...core.errors import DataError
from .blocks import read_blocks
from .files import RawFile, RawFolder
from .jsonlines import read_objects
from .problems import Problems

MARK = "parent_asin"
MAP = f"user=user_id,item={MARK},time=timestamp,text=title+store+categories"
START = 4096  # bytes in which a header or the first object says its keys


def refuse_2023(folder: RawFolder, category: str, reviews: Sequence[RawFile]) -> None:
    """Raise DataError, with the command that reads them, where the files of a category are those of 2023."""
    names = (f"{category}.jsonl", f"{category}.csv")
    found = [*reviews, *filter(None, map(folder.find_optional, names))]
    metadata = [
        file for kind in ("json", "jsonl") if (file := folder.find_optional(f"meta_{category}.{kind}"))
    ]
    marked = [file for file in (*found[:1], *metadata[:1]) if _has_mark(file)]
    if not marked:
        return
    log = next((file for file in found if _has_mark(file)), None)
    items = next((file for file in metadata if _has_mark(file)), None)
    words = ["tssr preprocess custom", f"--dataset {folder.format}"]
    words += [f"--interactions {_path(log, 'REVIEWS.jsonl')}", f"--items {_path(items, 'META.jsonl')}"]
    raise DataError(
        f"{' and '.join(map(str, marked))} look like Amazon Reviews 2023 (they have {MARK}), and "
        f"{folder.format} reads the edition of 2018; read them with: {' '.join(words)} --map {MAP}"
    )


def _path(file: RawFile | None, otherwise: str) -> str:
    """The file as a command names it; what lies in an archive has to be unpacked first."""
    if file is None:
        return otherwise
    return shlex.quote(str(file.path if file.member is None else Path(file.name)))


def _has_mark(file: RawFile) -> bool:
    if file.kind == "csv":
        return MARK.encode() in next(read_blocks(file)).data[:START]
    first = next(read_objects(file, Problems()), None)
    return first is not None and MARK in first[1]
