"""Reading content vectors made outside tssr: NumPy files, Parquet and CSV, each row with its item's id.

Shapes: R rows of the file, F dimension.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..core.errors import DataError, UsageError, os_errors_as_tssr
from ..core.schema import ITEM_ID
from ..core.words import first_few

ENDINGS = (".npy", ".npz", ".parquet", ".csv")


@dataclass(frozen=True)
class ExternalVectors:
    """Vectors (R, F), float16 or float32, and the ids of their items; None where the file has none."""

    vectors: NDArray[Any]
    ids: list[str] | None


def read_vectors(path: Path, key: str | None, ids: str | None) -> ExternalVectors:
    """Read the file at `path`.

    `key` names the array of an .npz, or the column of a table that holds lists; without it a table's vectors
    are all its other columns. `ids` names the array or column of ids (item_id where None), or a file with one
    id a line. Raises UsageError for what is not there, DataError for what is no table of finite numbers.
    """
    if path.suffix not in ENDINGS:
        raise UsageError(f"--vectors {path}: the name must end in {', '.join(ENDINGS)}")
    if not path.is_file():
        raise UsageError(f"--vectors {path}: there is no such file")
    with os_errors_as_tssr(f"read {path}", path):
        try:
            if path.suffix in (".npy", ".npz"):
                values, names = _from_numpy(path, key, ids)
            else:
                values, names = _from_table(path, key, ids)
        except (ValueError, EOFError, zipfile.BadZipFile, pa.ArrowException) as error:
            words = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(f"--vectors {path} cannot be read: {words}") from None
    vectors = _checked(path, values)
    if names is not None and len(names) != len(vectors):
        raise DataError(f"--vectors {path} has {len(vectors):,} vectors, but there are {len(names):,} ids")
    return ExternalVectors(vectors, names)


def _from_numpy(path: Path, key: str | None, ids: str | None) -> tuple[NDArray[Any], list[str] | None]:
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        if key is not None:
            raise UsageError(f"--key {key}: {path} holds one array without a name; leave the option out")
        return loaded, None if ids is None else _ids_of_file(Path(ids))
    with loaded as arrays:
        flat = [name for name in arrays.files if arrays[name].ndim == 2 and arrays[name].dtype.kind == "f"]
        if key is None and len(flat) != 1:
            raise UsageError(f"{path} has the arrays {', '.join(arrays.files)}; choose one with --key")
        chosen = flat[0] if key is None else key
        if chosen not in arrays.files:
            raise UsageError(f"--key {chosen}: {path} has {', '.join(arrays.files)}")
        own = ITEM_ID if ids is None else ids
        if own in arrays.files:
            return arrays[chosen], [str(name) for name in arrays[own].tolist()]
        return arrays[chosen], None if ids is None else _ids_of_file(Path(ids))


def _ids_of_file(path: Path) -> list[str]:
    if not path.is_file():
        raise UsageError(f"--ids {path}: neither an array or column of --vectors, nor a file")
    with os_errors_as_tssr(f"read {path}", path):
        return path.read_text(encoding="utf-8-sig").splitlines()


def _from_table(path: Path, key: str | None, ids: str | None) -> tuple[NDArray[Any], list[str]]:
    own = ITEM_ID if ids is None else ids
    if path.suffix == ".parquet":
        table = pq.read_table(path)
    else:  # ids as they are written: 0012 is another item than 12
        kept = pyarrow.csv.ConvertOptions(column_types={own: pa.string()})
        table = pyarrow.csv.read_csv(path, convert_options=kept)
    for name in (own, *([] if key is None else [key])):
        if name not in table.column_names:
            option = "--key" if name == key else "--ids"
            raise UsageError(f"{option} {name}: {path} has the columns {first_few(table.column_names)}")
    names = table[own].cast(pa.string()).to_pylist()
    if None in names:
        raise DataError(f"{path}, row {names.index(None) + 1}: there is no {own}")
    others = [name for name in table.column_names if name != own]
    if key is None and len(others) == 1:
        key = others[0]
    if key is not None and _is_list(table[key].type):
        return _lists(path, table[key], names), names
    columns = [key] if key is not None else others
    for name in columns:
        if not (pa.types.is_floating(table[name].type) or pa.types.is_integer(table[name].type)):
            raise DataError(
                f"{path}, column {name} holds {table[name].type}, not numbers; name one with --key"
            )
    arrays = [table[name].cast(pa.float32()).to_numpy() for name in columns]
    return np.stack(arrays, axis=1), names


def _is_list(kind: pa.DataType) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_one(kind) for is_one in lists)


def _lists(path: Path, column: pa.ChunkedArray, names: list[str]) -> NDArray[Any]:
    """A column of lists as a matrix; raises DataError for the first of another length."""
    lengths = pc.list_value_length(column).fill_null(0).to_numpy()
    for row in np.flatnonzero(lengths != lengths[0])[:1]:
        raise DataError(
            f"{path}: the vector of {names[row]} has {lengths[row]} numbers, that of {names[0]} {lengths[0]}"
        )
    values: NDArray[Any] = pc.list_flatten(column).to_numpy()
    return values.reshape(len(names), -1)


def _checked(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    """The vectors as float16 or float32; raises DataError for another shape, and for NaN and infinity."""
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not values.size:
        raise DataError(f"{path} holds {values.dtype} of shape {values.shape}; vectors are numbers (rows, F)")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        vectors = values if values.dtype == np.float16 else values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise DataError(
            f"{path}, row {bad[0] + 1}: NaN, infinite or too large for float32, as in {len(bad):,} of "
            f"{len(vectors):,} rows; correct them or leave them out"
        )
    return vectors
