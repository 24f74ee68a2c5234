"""What the report calls an item: a short title from the table of items, beside its picture and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...core.dataset import DatasetInfo, remake
from ...core.errors import ArtifactError
from ...core.schema import IMAGE, ITEM_ID, ITEMS, ITEMS_FILE, TEXT, read_table

_TITLE_COLUMNS = ("title", "prod_name", "name")  # of the sources' own columns, the first there is
TITLE_LENGTH = 80
MOST_VALUES = 11  # of a column that colours the map; rarer values are one more, "other"
_MOST_COLUMNS = 8
OTHER = "other"


@dataclass(frozen=True)
class ItemNames:
    """By item number less 1: title, outside id and path of the picture, None where there is none."""

    titles: Sequence[str]
    ids: Sequence[str]
    pictures: Sequence[str | None]


def item_names(dataset: DatasetInfo) -> ItemNames:
    """Read what items are called. Raises ArtifactError where the table is damaged."""
    table = read_table(
        dataset.folder / ITEMS_FILE, ITEMS, cure=remake(dataset.name), columns=[ITEM_ID, TEXT, IMAGE]
    )
    ids = table[ITEM_ID].to_pylist()
    own = _source_columns(dataset)
    named = next((own[column].to_pylist() for column in _TITLE_COLUMNS if column in own.column_names), None)
    texts = table[TEXT].to_pylist()
    titles = [
        short_title((named[row] if named else None) or texts[row] or ids[row]) for row in range(len(ids))
    ]
    return ItemNames(titles, ids, [path or None for path in table[IMAGE].to_pylist()])


def short_title(text: str) -> str:
    """The first line of a text, on one line and not too long.

    >>> short_title("  A  red dress\\nwith pockets")
    'A red dress'
    """
    lines = text.strip().splitlines()
    title = " ".join(lines[0].split()) if lines else ""
    return title if len(title) <= TITLE_LENGTH else f"{title[: TITLE_LENGTH - 1].rstrip()}…"


@dataclass(frozen=True)
class ColourColumn:
    """A column of the items that the map can be coloured by: `place` is each item's value in `values`."""

    name: str
    values: Sequence[str]
    place: Sequence[int]


def colour_columns(dataset: DatasetInfo) -> list[ColourColumn]:
    """The source's own columns with few different values, ordered by how well they divide the items.

    A column with more than MOST_VALUES values is used where the most common ones cover most items; the others
    become "other". Of columns that divide the items in the same way, such as a name and its code, only the
    first is used.
    """
    table = _source_columns(dataset)
    found: list[ColourColumn] = []
    seen: set[bytes] = set()
    for name in table.column_names:
        column = table[name].combine_chunks().fill_null("").cast(pa.string()).dictionary_encode()
        groups = (
            column.indices.to_numpy()
        )  # values are numbered as they first occur, so a code equals its name
        counts = np.bincount(groups)
        order = np.argsort(-counts, kind="stable")[:MOST_VALUES]
        telling = 1 < len(counts) < len(groups) and 2 * counts[order].sum() >= len(groups)
        if not telling or groups.tobytes() in seen:
            continue
        seen.add(groups.tobytes())
        place_of = np.full(len(counts), len(order))
        place_of[order] = np.arange(len(order))
        values = [column.dictionary[int(group)].as_py() or "(none)" for group in order]
        more = [OTHER] if len(counts) > len(order) else []
        found.append(ColourColumn(name, [*values, *more], place_of[groups].tolist()))
    return found[:_MOST_COLUMNS]


def _source_columns(dataset: DatasetInfo) -> pa.Table:
    """The columns of the table of items beyond the canonical ones."""
    path = dataset.folder / ITEMS_FILE
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=[name for name in file.schema_arrow.names if name not in ITEMS.names])
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(
            f"{path} is damaged ({str(error).splitlines()[0]}); {remake(dataset.name)}"
        ) from None
