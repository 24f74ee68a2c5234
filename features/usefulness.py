"""Refusing vectors that are (nearly) the same for all contents, as of a broken encoder or a wrong pooling.

Training would accept such vectors without an error, and learn from them only whether an item has content.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import DataError
from .content import SOURCE
from .parts import Part
from .store import KEY, REASON, map_part, part_vectors

_ROWS = 4096  # rows that are checked; the whole store comes from one encoder
_ALIKE = 1e-3  # of a vector's length: a distance that rounding to half precision alone can make
_SHARE = 0.99  # of all vectors that are nearly equal, from which on they tell nothing
_SHOWN = 40  # characters of a content


def refuse_useless(name: str, parts: Sequence[Part], content: pa.Table) -> None:
    """Raise DataError where the vectors in `parts` are all zero, or nearly all are the same.

    Looks at the first 4,096. The error shows two contents that have the same.
    """
    rows, keys = _first_rows(parts)
    if len(rows) < 2:
        return
    usual = np.median(rows, axis=0)
    distances = np.linalg.norm(rows - usual, axis=1)
    same = np.flatnonzero(distances <= _ALIKE * np.linalg.norm(usual))
    if len(same) < max(2, _SHARE * len(rows)):
        return
    shown = " and ".join(repr(_content(content, keys[int(row)])) for row in same[:2])
    what = "all zero" if not np.any(usual) else "nearly all equal"
    raise DataError(
        f"the vectors of {name} are {what}, as those of {shown}; they tell no item from another: choose "
        "another --encoder or --pooling"
    )


def _first_rows(parts: Sequence[Part]) -> tuple[np.ndarray, pa.Array]:
    """Vectors as float32 and their contents' keys, those without a vector left out."""
    vectors, keys, count = [], [], 0
    for part in parts:
        batch = map_part(part.path)
        there = pc.is_null(batch.column(REASON))
        vectors.append(part_vectors(batch)[there.to_numpy(zero_copy_only=False)].astype(np.float32))
        keys.append(batch.column(KEY).filter(there))
        count += len(vectors[-1])
        if count >= _ROWS:
            break
    if not count:
        return np.empty((0, 0), np.float32), pa.array([])
    return np.concatenate(vectors)[:_ROWS], pa.concat_arrays(keys)


def _content(content: pa.Table, key: pa.Scalar) -> str:
    """The text, or the picture's path, that has this key."""
    place = pc.index(content[KEY], key).as_py()
    source = str(content[SOURCE][place].as_py()) if place >= 0 else "content that no item has any more"
    return source if len(source) <= _SHOWN else source[: _SHOWN - 1] + "…"
