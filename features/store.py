"""Reading feature stores: which stores a data set has, and the vectors of items by their numbers.

A store is a manifest, a table that gives each item's row, and part files with the rows; docs/feature-store.md
describes them. Only numpy and pyarrow are needed to read one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..core.artifacts import fingerprint, read_json, sha256_file
from ..core.errors import ArtifactError, UsageError
from ..core.progress import note
from ..core.schema import ITEM, ITEM_ID, ITEMS_FILE, MANIFEST_FILE
from ..core.words import nearest_name, reason_of
from .mapped_rows import MappedRows
from .modality import MODALITIES

FORMAT = 1
KEY, VECTOR, ROW, REASON, DETAIL = "key", "vector", "row", "reason", "detail"
KEY_TYPE = pa.binary(32)  # SHA-256 of the content's bytes
CURE = "run the same tssr extract-features or features import command again"

# One line for each item. `row` is numbered through all parts in the manifest's order: with parts of 1024
# rows, row 1030 is row 6 of the second part. It is null for an item without a vector; `reason` says why.
STORE_ITEMS = pa.schema(
    [
        pa.field(ITEM, pa.int32(), nullable=False),
        pa.field(ITEM_ID, pa.string(), nullable=False),
        pa.field(ROW, pa.int64()),
        pa.field(REASON, pa.string()),
        pa.field(DETAIL, pa.string()),
    ]
)

Vectors = NDArray[Any]


@dataclass(frozen=True)
class StoreInfo:
    """The contents of a store's manifest, read without opening the store."""

    name: str
    modality: str
    encoder: str
    dimension: int
    items: int
    missing: int
    bytes: int
    folder: Path
    fingerprint: str
    kind: str  # "vectors", or the encoder inputs "pixels" or "tokens", "activations" or "layers"
    shape: tuple[int, ...]  # of one row
    manifest: dict[str, Any] = field(repr=False)  # as it was read, for opening the store

    @property
    def cure(self) -> str:
        """The advice to give the command again that made the store; it also repairs damaged parts."""
        command = "features import" if "imported" in self.manifest["key"] else "extract-features"
        return f"run the same tssr {command} command again"

    def refuse_other_items(self, catalogue: str) -> None:
        """Raise ArtifactError unless the store was last filled for the items table of this SHA-256."""
        if self.manifest.get("catalogue") != catalogue:
            raise ArtifactError(f"{self.folder} was made for another version of the items; {self.cure}")

    def refuse_damage(self) -> None:
        """Raise ArtifactError for the first part that is not what was written; reads all of them."""
        for part in self.manifest["parts"]:
            path = self.folder / part["file"]
            if not path.is_file() or sha256_file(path) != part["sha256"]:
                raise ArtifactError(
                    f"{path} is damaged or missing; {self.cure}, it makes only this part again"
                )


def manifest_fingerprint(manifest: dict[str, Any]) -> str:
    """The hash of a store's vectors: of the manifest without the fields that only say what was asked for."""
    asked = ("request", "catalogue", "fingerprint")
    told = {name: value for name, value in manifest.items() if name not in asked}
    return fingerprint(told)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the store in `folder`; raises ArtifactError for one that cannot be trusted."""
    path = folder / MANIFEST_FILE
    manifest = read_json(path, cure=CURE)
    if manifest.get("format") != FORMAT:
        raise ArtifactError(f"{path} has format {manifest.get('format')}, this tssr reads {FORMAT}; {CURE}")
    if manifest.get("fingerprint") != manifest_fingerprint(manifest):
        raise ArtifactError(f"{path} is damaged: it does not match its fingerprint; {CURE}")
    return manifest


def store_info(folder: Path) -> StoreInfo:
    """What the manifest in `folder` says."""
    manifest = read_manifest(folder)
    return StoreInfo(
        name=folder.name,
        modality=manifest["modality"],
        encoder=manifest["encoder"],
        dimension=manifest["dimension"],
        items=manifest["items"],
        missing=sum(manifest["missing"].values()),
        bytes=sum(part["bytes"] for part in manifest["parts"]),
        folder=folder,
        fingerprint=manifest["fingerprint"],
        kind=manifest["kind"],
        shape=tuple(manifest["shape"]),
        manifest=manifest,
    )


def has_stores(folder: Path) -> bool:
    """Whether a data set's feature folder holds any store, whole or damaged."""
    return any(folder.glob(f"*/{MANIFEST_FILE}"))


def list_stores(folder: Path) -> list[StoreInfo]:
    """The finished stores in a data set's feature folder, in alphabetical order.

    A store with a damaged manifest is named on stderr and left out, so that the others can be used.
    """
    stores = []
    for path in sorted(folder.glob(f"*/{MANIFEST_FILE}")):
        try:
            stores.append(store_info(path.parent))
        except ArtifactError as error:
            note(f"{error}; until then it is left out")
    return stores


def choose_stores(folder: Path, names: tuple[str, ...], kind: str = "vectors") -> list[StoreInfo]:
    """The stores of `kind` with these `names`, folder names or modalities; without names, the only one.

    `folder` has the name of its data set.

    Raises UsageError that lists the stores there are, or says how to make one.
    """
    stores = [store for store in list_stores(folder) if store.kind == kind]
    if not stores:
        # Any modality may have vectors; encoder inputs such as pixels are those of one modality.
        first, *others = (name for name, of in MODALITIES.items() if kind in ("vectors", of.inputs))
        modality = names[0] if names else first
        what, flag = ("features", "") if kind == "vectors" else (kind, " --inputs")
        other = f" (or {', '.join(others)})" if others and not names else ""
        command = f"tssr extract-features --dataset {folder.name} --modality {modality}{flag}{other}"
        raise UsageError(f"{folder} holds no {what}; make them first: {command}")
    chosen = [_choose(stores, name, folder) for name in names or (None,)]
    # A store that was named twice, by its name and by its modality, counts once.
    return list({store.name: store for store in chosen}.values())


def _choose(stores: list[StoreInfo], name: str | None, folder: Path) -> StoreInfo:
    fitting = [store for store in stores if name in (None, store.name, store.modality)]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(store.name for store in fitting or stores)
    if not fitting:
        command = f"tssr extract-features --dataset {folder.name} --modality {name}"
        hint = f"; make it with: {command}" if name in MODALITIES else ""
        names = {name for store in stores for name in (store.modality, store.name)}
        nearest = nearest_name(str(name), sorted(names))
        raise UsageError(f"--features {name}: {folder} has {there}{nearest or hint}")
    raise UsageError(
        f"{folder} has several{f' {name}' if name else ''} stores; choose with --features: {there}"
    )


def open_store(info: StoreInfo) -> FeatureStore:
    """Open a store for reading; raises ArtifactError where a file is missing or of another size."""
    return FeatureStore(info)


def map_part(path: Path) -> pa.RecordBatch:
    """The one record batch of a part file, memory-mapped: nothing is read until it is used."""
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{path} is damaged ({reason_of(error)}); {CURE}") from None


def part_vectors(batch: pa.RecordBatch) -> Vectors:
    """The vectors of a part as a view of its file, (rows, F); rows without a vector are zero."""
    column = batch.column(VECTOR)
    # All numbers of the column in one flat array, (rows · F,); those of rows without a vector are there too.
    values: Vectors = column.values.to_numpy(zero_copy_only=True)
    return values.reshape(len(column), -1)


class FeatureStore:
    """A store opened for reading; the parts stay on disk until their rows are asked for."""

    def __init__(self, info: StoreInfo) -> None:
        self.info = info
        self.manifest = info.manifest
        self.dimension = info.dimension
        self.dtype = np.dtype(self.manifest["dtype"])
        # The folder is listed once, which checks a thousand parts in milliseconds. Files that the manifest
        # does not name are ignored: a command that extends the store may be writing and deleting them.
        with os.scandir(info.folder) as files:
            there = {file.name: file for file in files}
        for part in self.manifest["parts"]:
            file = there.get(part["file"])
            size = file.stat().st_size if file and file.is_file() else None
            if size != part["bytes"]:
                found = "is missing" if size is None else f"has {size} bytes, not {part['bytes']}"
                raise ArtifactError(f"{info.folder / part['file']} {found}; {info.cure}")

    @cached_property
    def vectors(self) -> MappedRows:
        """Every row of every part, memory-mapped; rows without a vector are zero."""
        files = [self.info.folder / part["file"] for part in self.manifest["parts"]]
        return MappedRows([part_vectors(map_part(file)) for file in files])

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Each item's row, (N + 1,); -1 for the padding and for items without a vector."""
        path = self.info.folder / ITEMS_FILE
        if not path.is_file() or sha256_file(path) != self.manifest["items_sha256"]:
            raise ArtifactError(f"{path} does not belong to the manifest beside it; {self.info.cure}")
        rows = pq.read_table(path, columns=[ROW])[ROW].fill_null(-1).to_numpy()
        return np.concatenate([np.array([-1]), rows])

    def gather(self, rows: NDArray[np.int64]) -> Vectors:
        """The vectors of `rows` in that order, (len(rows), F); a row of -1 gives zeros.

        Raises IndexError for a row that the store does not have.
        """
        present = rows >= 0
        if not present.any():
            return np.zeros((len(rows), self.dimension), self.dtype)
        # A row that exists is read in place of each -1, and then set to 0.
        vectors = self.vectors.gather(np.where(present, rows, rows.max()))
        vectors[~present] = 0
        return vectors

    def item_features(self) -> tuple[Vectors, NDArray[np.bool_]]:
        """All items' vectors, (N + 1, F), and which items have one, (N + 1,).

        The padding's vector, row 0, and those of items without one are zero.
        """
        return self.gather(self.rows), self.rows >= 0
