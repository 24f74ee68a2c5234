"""The stage `features import`: writes vectors made outside tssr into a feature store."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...core.artifacts import fingerprint, sha256_file, sweep_partials
from ...core.dataset import remake
from ...core.errors import DataError, UsageError
from ...core.lock import exclusive
from ...core.schema import ITEM, ITEM_ID, ITEMS, ITEMS_FILE, read_table
from ...core.summary import Summary
from ...core.words import first_few
from ...core.workspace import WorkspaceFolders
from ...features.content import CONTENT, content_key
from ...features.external_vectors import ExternalVectors, read_vectors
from ...features.parts import StoredContents, commit, drop_unused, find_parts, write_part
from ...features.settings import ImportSettings
from ...features.store import FORMAT, KEY, KEY_TYPE, StoreInfo, store_info

ABSENT = "no vector in the file"
_UNFIT = re.compile(r"[^A-Za-z0-9._]+")  # in the name of a folder


def import_features(workspace: WorkspaceFolders, settings: ImportSettings) -> Summary:
    """Put the vectors of a file into the data set's feature folder, each under the number of its item.

    Items that the file does not have are without content, ids that the data set does not have are counted.
    Raises UsageError or DataError for a file that cannot be read or fits no item, and for an id that stands
    there twice.
    """
    path = settings.vectors
    if path is None:
        raise UsageError("features import needs the file with the vectors: --vectors FILE")
    folder = workspace.choose_dataset(settings.dataset)
    items = read_table(folder / ITEMS_FILE, ITEMS, cure=remake(folder.name), columns=[ITEM, ITEM_ID])
    found = read_vectors(path, settings.key, settings.ids)
    rows, unknown = _rows(path, items[ITEM_ID].to_pylist(), found)
    head = _head(path, settings, found.vectors)
    name = f"{settings.modality}-{_UNFIT.sub('-', path.stem)}-{fingerprint(head['key'])[:8]}"
    store = workspace.features(folder.name) / name
    head["catalogue"] = sha256_file(folder / ITEMS_FILE)
    changed = _write(store, items, found.vectors, rows, head)
    return _summary(folder.name, store_info(store), unknown, cached=not changed)


def _head(path: Path, settings: ImportSettings, vectors: NDArray[Any]) -> dict[str, Any]:
    """The manifest's description of the vectors; the file's hash stands for the hash of an encoder."""
    named = {"key": settings.key, "ids": settings.ids}
    if settings.ids is not None and Path(settings.ids).is_file():
        named["ids"] = sha256_file(Path(settings.ids))
    key = {
        "imported": sha256_file(path),
        **named,
        "modality": settings.modality,
        "dtype": str(vectors.dtype),
        "format": FORMAT,
    }
    return {
        "format": FORMAT,
        "kind": "vectors",
        "modality": settings.modality,
        "encoder": f"imported {path.name}" + (f" {settings.key}" if settings.key else ""),
        "dimension": vectors.shape[1],
        "shape": [vectors.shape[1]],
        "dtype": str(vectors.dtype),
        "key": key,
        "request": {"vectors": path.name, "key": settings.key, "ids": settings.ids},
    }


def _rows(path: Path, items: Sequence[str], found: ExternalVectors) -> tuple[NDArray[np.int64], list[str]]:
    """The file's row of each item, (N,), -1 for none; and the ids that are no item's."""
    if found.ids is None:
        if len(found.vectors) != len(items):
            raise DataError(
                f"{path} has {len(found.vectors):,} vectors without ids for {len(items):,} items; name the "
                "ids with --ids, or give one row for each item in the order of the data set's table"
            )
        return np.arange(len(items)), []
    row_of: dict[str, int] = {}
    for row, name in enumerate(found.ids):
        if name in row_of:
            raise DataError(f"{path}: {name} stands there twice, in rows {row_of[name] + 1} and {row + 1}")
        row_of[name] = row
    rows = np.array([row_of.get(name, -1) for name in items])
    known = set(items)
    unknown = [name for name in found.ids if name not in known]
    if not (rows >= 0).any():
        raise DataError(
            f"{path}: none of its {len(found.ids):,} ids is an item of the data set; it has "
            f"{first_few(found.ids)}, the data set {first_few(items)}"
        )
    return rows, unknown


def _write(
    folder: Path, items: pa.Table, vectors: NDArray[Any], rows: NDArray[np.int64], head: dict[str, Any]
) -> bool:
    """Bring the store up to date; equal vectors are kept once. Returns whether anything changed."""
    there = rows >= 0
    keys = [content_key(vectors[row].tobytes()) if row >= 0 else None for row in rows]
    reasons = [None if known else ABSENT for known in there]
    nothing = [None] * len(rows)
    content = pa.table([nothing, nothing, nothing, keys, reasons, nothing], schema=CONTENT)
    with exclusive(folder):
        sweep_partials(folder)
        parts = find_parts(folder)
        chunks = StoredContents(parts).missing(content, vectors[0].nbytes)
        for chunk in chunks:
            members = content[KEY].combine_chunks().take(pa.array(chunk.members)).cast(KEY_TYPE)
            write_part(folder, chunk.number, members, vectors[rows[chunk.members]], {})
        stored = StoredContents(find_parts(folder))
        table = stored.items(items, content)
        changed = commit(folder, head, stored, table)
        drop_unused(folder, stored)
    return changed or bool(chunks)


def _summary(dataset: str, info: StoreInfo, unknown: Sequence[str], *, cached: bool) -> Summary:
    rows = [
        ("store", info.name),
        ("dimension", f"{info.dimension:,}"),
        ("items with a vector", f"{info.items - info.missing:,} of {info.items:,}"),
        ("made from", info.encoder.removeprefix("imported ")),
    ]
    notes = []
    if unknown:
        notes.append(f"{len(unknown):,} ids of the file are no item of {dataset} ({first_few(unknown)})")
    data = {
        "stage": "features import",
        "dataset": dataset,
        "store": info.name,
        "folder": str(info.folder),
        "dimension": info.dimension,
        "items": info.items,
        "missing": info.missing,
        "unknown_ids": len(unknown),
        "key": info.manifest["key"],
    }
    return Summary(f"Features of {dataset}", rows, data, notes=notes, cached=cached)
