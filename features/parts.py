"""Writing a store: dividing contents into parts, writing part files, and the manifest at the end.

The contents without a vector are cut into chunks in item order, and each chunk becomes one part file. The
chunks depend only on the table of items and the parts that exist. So a second run after a kill, or any number
of processes, cuts the same chunks and writes the same bytes. A part's file name has its number and the hash
of its bytes, so whether a part is whole can be checked without the manifest.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count, groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..core.artifacts import atomic_path, sha256_file, write_json
from ..core.errors import ArtifactError, TssrError
from ..core.progress import note
from ..core.schema import ITEM, ITEM_ID, ITEMS_FILE, MANIFEST_FILE
from .content_batch import Chunk
from .pictures import BadContentError
from .store import (
    DETAIL,
    KEY,
    KEY_TYPE,
    REASON,
    STORE_ITEMS,
    VECTOR,
    Vectors,
    manifest_fingerprint,
    map_part,
    read_manifest,
)

PART_ROWS = 1024
PART_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Part:
    """A part file whose bytes match the hash in its name."""

    number: int
    path: Path
    sha256: str

    @staticmethod
    def checked(path: Path) -> Part:
        """Hash a part file; raises ArtifactError where its bytes do not match the hash in its name."""
        digest = sha256_file(path)
        _, number, promised = path.stem.split("-")
        if not digest.startswith(promised):
            raise ArtifactError(f"{path} is damaged: its bytes do not match its checksum")
        return Part(int(number), path, digest)


def write_part(
    folder: Path, number: int, keys: pa.Array, vectors: Vectors, failures: Mapping[int, BadContentError]
) -> Part:
    """Write `vectors` (rows, F) under `keys` (rows); a row in `failures` has a reason and no vector."""
    reasons = [failures[row].reason if row in failures else None for row in range(len(keys))]
    details = [failures[row].detail if row in failures else None for row in range(len(keys))]
    values = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    # True takes the place of the vector by a null.
    absent = pa.array([reason is not None for reason in reasons])
    batch = pa.record_batch(
        {
            KEY: keys,
            VECTOR: pa.FixedSizeListArray.from_arrays(values, vectors.shape[1], mask=absent),
            REASON: pa.array(reasons, pa.string()),
            DETAIL: pa.array(details, pa.string()),
        }
    )
    return _write_batch(folder, number, batch)


def _write_batch(folder: Path, number: int, batch: pa.RecordBatch) -> Part:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    content = sink.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    path = folder / f"part-{number:05d}-{digest[:16]}.arrow"
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return Part(number, path, digest)


def find_parts(folder: Path) -> list[Part]:
    """The whole parts in `folder` by number; damaged ones are deleted with a note, to be made again.

    A kill while pruning leaves two files of a part, the old and the pruned one; the pruned, smaller one
    counts.
    """
    parts = []
    for path in sorted(folder.glob("part-*.arrow")):
        try:
            parts.append(Part.checked(path))
        except ArtifactError as error:
            path.unlink(missing_ok=True)
            # Once it is deleted, other processes of a torchrun do not find it.
            note(f"{error}; its contents are encoded again", known_to_all=False)
    parts.sort(key=lambda part: (part.number, part.path.stat().st_size))
    # Of each number the first, which is the smallest.
    return [next(same) for _, same in groupby(parts, key=lambda part: part.number)]


class StoredContents:
    """The contents of all parts, in the order in which rows are numbered."""

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        batches = [map_part(part.path).select([KEY, REASON, DETAIL]) for part in parts]
        empty = pa.schema([(KEY, KEY_TYPE), (REASON, pa.string()), (DETAIL, pa.string())])
        self.rows = [len(batch) for batch in batches]
        self.table = pa.Table.from_batches(batches, empty).combine_chunks()

    def missing(self, content: pa.Table, row_bytes: int) -> list[Chunk]:
        """The contents that no part holds, cut into chunks in item order."""
        # Keys as small numbers in the order in which they first appear; -1 for an item without
        # content. `first` is then the first item that has each content. Example: the keys b a null b
        # are 0 1 -1 0, and `first` is 0 1.
        encoded = content[KEY].combine_chunks().dictionary_encode()
        appearance = encoded.indices.fill_null(-1).to_numpy()
        distinct, first = np.unique(appearance, return_index=True)
        first = first[distinct >= 0]
        done = pc.is_in(encoded.dictionary, value_set=self.table[KEY].combine_chunks()).to_numpy(
            zero_copy_only=False
        )
        members = first[~done]
        # A part has 1,024 rows, or fewer where they are long: a row of 392 KiB allows 167 in 64 MiB.
        size = max(1, min(PART_ROWS, PART_BYTES // row_bytes))
        taken = {part.number for part in self.parts}
        cuts = range(0, len(members), size)
        # The smallest numbers that are free, because a part that was damaged leaves a gap.
        numbers = islice((number for number in count() if number not in taken), len(cuts))
        return [Chunk(number, members[cut : cut + size]) for number, cut in zip(numbers, cuts, strict=True)]

    def items(self, items: pa.Table, content: pa.Table) -> pa.Table:
        """Each item's row, or the reason why it has none."""
        # A content's place among those of all parts is its row; null for an item without content.
        place = pc.index_in(content[KEY], value_set=self.table[KEY].combine_chunks(), skip_nulls=True)
        found = self.table.select([REASON, DETAIL]).take(place)
        reasons = pc.coalesce(content[REASON], found[REASON])
        details = pc.coalesce(content[DETAIL], found[DETAIL])
        rows = pc.if_else(pc.is_null(reasons), place.cast(pa.int64()), pa.scalar(None, pa.int64()))
        return pa.table([items[ITEM], items[ITEM_ID], rows, reasons, details], schema=STORE_ITEMS)


def prune(folder: Path, parts: list[Part], content: pa.Table) -> list[Part]:
    """Write the parts again without rows that no item uses; the old files stay until `drop_unused`."""
    used = content[KEY].combine_chunks()
    kept = []
    for part in parts:
        batch = map_part(part.path)
        # Which rows of the part some item still uses.
        wanted = pc.is_in(batch.column(KEY), value_set=used)
        rows = pc.sum(wanted).as_py()
        if rows == len(batch):
            kept.append(part)
        elif rows:
            kept.append(_write_batch(folder, part.number, batch.filter(wanted)))
    return kept


def drop_unused(folder: Path, catalogue: StoredContents) -> None:
    """Delete part files that are not in the catalogue."""
    for path in set(folder.glob("part-*.arrow")) - {part.path for part in catalogue.parts}:
        path.unlink()


def count_reasons(items: pa.Table) -> dict[str, int]:
    """How many items lack a vector, by reason."""
    return dict(sorted(Counter(reason for reason in items[REASON].to_pylist() if reason is not None).items()))


def commit(folder: Path, head: dict[str, Any], catalogue: StoredContents, items: pa.Table) -> bool:
    """Write the table of items, then the manifest, which completes the store; returns whether one changed.

    `head` has the manifest's fields about the vectors; those about the files are added here.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(items, sink, compression="zstd")
    table = sink.getvalue()
    digest = hashlib.sha256(table).hexdigest()
    manifest = {
        **head,
        "items": len(items),
        "missing": count_reasons(items),
        "items_sha256": digest,
        "parts": [
            {"file": part.path.name, "rows": rows, "bytes": part.path.stat().st_size, "sha256": part.sha256}
            for part, rows in zip(catalogue.parts, catalogue.rows, strict=True)
        ],
    }
    manifest["fingerprint"] = manifest_fingerprint(manifest)
    path = folder / ITEMS_FILE
    try:
        if read_manifest(folder) == manifest and sha256_file(path) == digest:
            return False
    except TssrError:
        pass  # a file is missing or damaged: both are written again
    with atomic_path(path) as temporary:
        temporary.write_bytes(table)
    write_json(folder / MANIFEST_FILE, manifest)
    return True
