"""Filling feature stores: find contents without a vector, encode them, and write the manifests.

What a command's stores lack is counted for all of them before anything is encoded, so that a disk with too
little room for the last one is told before the hours that the first one takes.

Under torchrun the main process finds the missing contents and writes the manifest, and each process encodes
some of the parts. A part's bytes do not depend on the process, so any number of them makes the same store.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...core.artifacts import atomic_path, fingerprint, sweep_partials
from ...core.errors import ArtifactError, memory_errors_as_tssr
from ...core.lock import exclusive
from ...core.progress import progress
from ...core.schema import MANIFEST_FILE
from ...features.content import CONTENT, refuse_unusable
from ...features.content_batch import Chunk
from ...features.parts import (
    Part,
    StoredContents,
    commit,
    count_reasons,
    drop_unused,
    find_parts,
    prune,
)
from ...features.store import FORMAT, KEY, ROW, read_manifest, store_info
from ...features.usefulness import refuse_useless
from .disk_need import DiskNeed, refuse_no_room_for_all
from .store_job import StoreJob, StoreOutcome, refuse_nameless, refuse_nothing

if TYPE_CHECKING:
    from ...features.encoder import ContentEncoder

CONTENT_FILE = "content.parquet"
HEAD = ("format", "kind", "modality", "encoder", "dimension", "shape", "dtype", "key")  # what the rows are


@dataclass(frozen=True)
class _Source:
    """An encoder that fills a store, the store's folder, and what its manifest says about the rows."""

    encoder: ContentEncoder
    folder: Path
    head: dict[str, Any]


def make_stores(jobs: Sequence[StoreJob], stores: Path, *, force: bool) -> list[StoreOutcome]:
    """Bring the stores that `jobs` ask for up to date; [] in all processes but the main one.

    Before anything is encoded, raises for each of them DataError where a data set has no such content,
    UsageError for an encoder that cannot be had, and TssrError where the disk has no room for all together.
    """
    for job in jobs:
        refuse_nameless(job)
    if not jobs[0].world.is_main:  # all jobs have the same
        for job in jobs:
            # The other processes wait here until the main process has found something to encode, or nothing.
            if job.world.broadcast():
                _help(job, stores)
        return []
    # Most runs ask for what is there already: then the encoder is not even loaded.
    known = [None if force else _answered(stores, job.request()) for job in jobs]
    sources = [None if there else _load(job, stores) for job, there in zip(jobs, known, strict=True)]
    found: list[StoreOutcome | DiskNeed] = []
    for job, there, source in zip(jobs, known, sources, strict=True):
        if source is not None:
            found.append(_finish(job, source.folder, source.head, force=force))
        elif there is not None:
            found.append(_finish(job, there, {name: read_manifest(there)[name] for name in HEAD}))
    refuse_no_room_for_all([need for need in found if isinstance(need, DiskNeed)], stores)
    # A store that is there and grows needs its encoder too; all are loaded before the first one works.
    fillers = [
        (source or _load(job, stores)) if isinstance(result, DiskNeed) else None
        for job, source, result in zip(jobs, sources, found, strict=True)
    ]
    made = []
    for job, filler, result in zip(jobs, fillers, found, strict=True):
        if filler is not None:
            made.append(_fill(job, filler, force=force))
        else:
            assert isinstance(result, StoreOutcome)
            job.world.broadcast(False)
            made.append(result)
    return made


def _help(job: StoreJob, stores: Path) -> None:
    """Encode this process's part of what the main process found missing."""
    source = _load(job, stores)
    content = pq.read_table(source.folder / CONTENT_FILE, schema=CONTENT)
    chunks = _missing(find_parts(source.folder), content, source.head)
    _encode_together(job, source.encoder, content, chunks, source.folder)


def _load(job: StoreJob, stores: Path) -> _Source:
    """The encoder, and the store of the rows that it makes."""
    from ...features.loading import load_encoder

    encoder = load_encoder(job.choice)
    dtype = encoder.dtype or job.settings.dtype
    key = {**encoder.key, "modality": job.choice.modality, "dtype": dtype, "format": FORMAT}
    head = {
        "format": FORMAT,
        "kind": encoder.kind,
        "modality": job.choice.modality,
        "encoder": encoder.name,
        "dimension": encoder.dimension,
        "shape": list(encoder.shape or (encoder.dimension,)),
        "dtype": dtype,
        "key": key,
    }
    return _Source(encoder, _folder(stores, head), head)


def _folder(stores: Path, head: dict[str, Any]) -> Path:
    """The store's folder, which is found by the hash of the key at the end of its name."""
    short = fingerprint(head["key"])[:8]
    same = sorted(stores.glob(f"{head['modality']}-*-{short}"))
    return same[0] if same else stores / f"{head['modality']}-{head['encoder']}-{short}"


def _answered(stores: Path, request: dict[str, Any]) -> Path | None:
    """The store that an equal request made, found without loading the encoder."""
    for path in sorted(stores.glob(f"*/{MANIFEST_FILE}")):
        try:
            if read_manifest(path.parent).get("request") == request:
                return path.parent
        except ArtifactError:
            continue  # the encoder's key will find the folder and mend it
    return None


def _finish(
    job: StoreJob, folder: Path, head: dict[str, Any], *, force: bool = False
) -> StoreOutcome | DiskNeed:
    """Complete a store that lacks no row; otherwise, or with `force`, the disk that its rows will take."""
    started = time.monotonic()
    with exclusive(folder):
        content, parts, chunks = _look(job, folder, head)
        if force:
            chunks = _missing([], content, head)
        if not chunks:
            return _commit(job, folder, head, content, parts, 0, started)
        given_up = sum(part.path.stat().st_size for part in parts) if force else 0
        return DiskNeed(head["kind"], job.modality.noun, _rows_of(chunks), _row_bytes(head), given_up)


def _fill(job: StoreJob, source: _Source, *, force: bool) -> StoreOutcome:
    """Encode what the store lacks; with `force` all of it."""
    started = time.monotonic()
    folder, head = source.folder, source.head
    with exclusive(folder):
        if force:
            _clear(folder)
        content, parts, chunks = _look(job, folder, head)
        if chunks:
            job.world.broadcast(True)
            _encode_together(job, source.encoder, content, chunks, folder)
            parts = find_parts(folder)
        else:  # another command, for which this one waited, has encoded them
            job.world.broadcast(False)
        return _commit(job, folder, head, content, parts, _rows_of(chunks), started)


def _look(job: StoreJob, folder: Path, head: dict[str, Any]) -> tuple[pa.Table, list[Part], list[Chunk]]:
    """The items' content, the parts that are whole, and the contents that none of them holds."""
    sweep_partials(folder)
    content = _scan(job, folder)
    parts = find_parts(folder)
    return content, parts, _missing(parts, content, head)


def _commit(
    job: StoreJob,
    folder: Path,
    head: dict[str, Any],
    content: pa.Table,
    parts: list[Part],
    encoded: int,
    started: float,
) -> StoreOutcome:
    """Write the manifest over `parts`, which hold all contents, and delete what is no longer used."""
    if job.settings.prune:
        parts = prune(folder, parts, content)
    catalogue = StoredContents(parts)
    table = catalogue.items(job.items, content)
    if job.settings.strict:
        refuse_unusable(job.items, table)
    if table[ROW].null_count == len(table):
        refuse_nothing(job, count_reasons(table))
    if head["kind"] == "vectors":
        refuse_useless(folder.name, parts, content)
    changed = commit(folder, {**head, "request": job.request(), "catalogue": job.catalogue}, catalogue, table)
    drop_unused(folder, catalogue)
    seconds = time.monotonic() - started
    return StoreOutcome(
        store_info(folder), count_reasons(table), encoded, seconds, cached=not changed and not encoded
    )


def _clear(folder: Path) -> None:
    """Delete the store's files, the manifest first, so that a kill leaves no manifest without its parts."""
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    for path in folder.glob("part-*.arrow"):
        path.unlink()


def _scan(job: StoreJob, folder: Path) -> pa.Table:
    """The items' content; a scan's hashes are kept beside the store, so that a rerun reads no file twice."""
    path = folder / CONTENT_FILE
    try:
        previous = pq.read_table(path, schema=CONTENT)
    except (pa.ArrowException, OSError):
        previous = None
    content = job.modality.scan(job.items, job.raw, previous)
    if previous is None or not content.equals(previous):
        with atomic_path(path) as temporary:
            pq.write_table(content, temporary, compression="zstd")
    if job.settings.strict:
        refuse_unusable(job.items, content)
    if content[KEY].null_count == len(content):
        refuse_nothing(job, count_reasons(content))
    return content


def _missing(parts: list[Part], content: pa.Table, head: dict[str, Any]) -> list[Chunk]:
    return StoredContents(parts).missing(content, _row_bytes(head))


def _row_bytes(head: dict[str, Any]) -> int:
    """The size of one row of a store, without its key."""
    return int(head["dimension"] * np.dtype(head["dtype"]).itemsize)


def _rows_of(chunks: list[Chunk]) -> int:
    """How many rows `chunks` will become."""
    return sum(len(chunk.members) for chunk in chunks)


def _encode_together(
    job: StoreJob, encoder: ContentEncoder, content: pa.Table, chunks: list[Chunk], folder: Path
) -> None:
    """Encode this process's part of `chunks`, once all processes know theirs; wait until all are done."""
    from ...features.encoding import encode_chunks

    job.world.refuse_unequal("encoders or stores", str(folder))  # also waits until all are here
    # Every process has cut the same chunks. Example: of five chunks, the second of two processes takes the
    # second and the fourth.
    own = chunks[job.world.rank :: job.world.size]
    noun = job.modality.noun
    total, shown = sum(len(chunk.members) for chunk in own), job.world.is_main
    memory = memory_errors_as_tssr(f"encoding {noun}", f"lower --batch-size (now {job.settings.batch_size})")
    with memory, progress(f"encode {noun}", total, noun, shown=shown) as advance:
        encode_chunks(job.modality, encoder, content, own, job.raw, folder, job.settings, advance)
    job.world.barrier()
