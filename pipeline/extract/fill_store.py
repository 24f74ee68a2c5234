"""Filling one feature store: find contents without a vector, encode them, and write the manifest.

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

from ...core.artifacts import atomic_path, fingerprint, refuse_no_room, sweep_partials
from ...core.errors import ArtifactError, DataError
from ...core.lock import exclusive
from ...core.progress import progress
from ...core.schema import MANIFEST_FILE
from ...core.torchrun import World
from ...features.content import CONTENT, refuse_unusable, source_stamp
from ...features.content_batch import Chunk
from ...features.modality import MODALITIES, EncoderChoice, Modality
from ...features.parts import (
    Part,
    StoredContents,
    commit,
    count_reasons,
    drop_unused,
    find_parts,
    prune,
)
from ...features.settings import FeatureSettings
from ...features.store import FORMAT, KEY, ROW, StoreInfo, read_manifest, store_info
from ...features.usefulness import refuse_useless

if TYPE_CHECKING:
    from ...features.encoder import ContentEncoder

CONTENT_FILE = "content.parquet"
HEAD = ("format", "kind", "modality", "encoder", "dimension", "shape", "dtype", "key")  # what the rows are


@dataclass(frozen=True)
class StoreJob:
    """One store to make: the items of a data set, a modality and an encoder."""

    choice: EncoderChoice
    settings: FeatureSettings
    items: pa.Table
    catalogue: str  # the hash of the file that `items` were read from
    raw: Path
    world: World

    @property
    def modality(self) -> Modality:
        """What kind of content it is."""
        return MODALITIES[self.choice.modality]

    def request(self) -> dict[str, Any]:
        """The choices and the state of local files; stores made for equal requests are equal."""
        files = {name: source_stamp(value) for name, value in self.choice.sources().items()}
        return {**self.choice.record(), "dtype": self.settings.dtype, "files": files}


@dataclass(frozen=True)
class StoreOutcome:
    """The outcome for one store: its manifest, and how much was encoded."""

    info: StoreInfo
    missing: dict[str, int]
    encoded: int
    seconds: float
    cached: bool


def refuse_unfillable(jobs: Sequence[StoreJob], stores: Path) -> None:
    """Raise what a later job would raise only after the hours that an earlier one takes.

    That is DataError where a data set has no such content, UsageError for an encoder that cannot be had.
    """
    from ...features.loading import load_encoder

    for job in jobs:
        refuse_nameless(job)
    for job in jobs[1:]:
        if _answered(stores, job.request()) is None:
            load_encoder(job.choice)


def refuse_nameless(job: StoreJob) -> None:
    """Raise DataError where the table of items names no content of the modality at all: no text, no path."""
    column = job.items[job.modality.column]
    if column.null_count == len(column):
        _refuse_nothing(job, count_reasons(job.modality.scan(job.items, job.raw, None)))


def make_store(job: StoreJob, stores: Path, *, force: bool) -> StoreOutcome | None:
    """Bring the store that `job` asks for up to date; None in all processes but the main one."""
    if not job.world.is_main:
        # The other processes wait here until the main process has found something to encode, or nothing.
        if job.world.broadcast():
            _help(job, stores)
        return None
    # Most runs ask for what is there already: then the encoder is not even loaded.
    known = None if force else _answered(stores, job.request())
    outcome = _fill(job, known, None) if known else None
    if outcome is None:
        encoder, head = _load(job)
        outcome = _fill(job, _folder(stores, head), (encoder, head), force=force)
        assert outcome is not None
    if outcome.encoded == 0:
        job.world.broadcast(False)
    return outcome


def _help(job: StoreJob, stores: Path) -> None:
    """Encode this process's part of what the main process found missing."""
    encoder, head = _load(job)
    folder = _folder(stores, head)
    content = pq.read_table(folder / CONTENT_FILE, schema=CONTENT)
    _encode_together(job, encoder, content, _missing(find_parts(folder), content, head), folder)


def _load(job: StoreJob) -> tuple[ContentEncoder, dict[str, Any]]:
    """The encoder, and what the manifest says about the rows it makes."""
    from ...features.loading import load_encoder

    encoder = load_encoder(job.choice)
    dtype = encoder.dtype or job.settings.dtype
    key = {**encoder.key, "modality": job.choice.modality, "dtype": dtype, "format": FORMAT}
    return encoder, {
        "format": FORMAT,
        "kind": encoder.kind,
        "modality": job.choice.modality,
        "encoder": encoder.name,
        "dimension": encoder.dimension,
        "shape": list(encoder.shape or (encoder.dimension,)),
        "dtype": dtype,
        "key": key,
    }


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


def _fill(
    job: StoreJob, folder: Path, source: tuple[ContentEncoder, dict[str, Any]] | None, *, force: bool = False
) -> StoreOutcome | None:
    """Bring the store in `folder` up to date; None where that takes an encoder and `source` brings none."""
    started = time.monotonic()
    with exclusive(folder):
        sweep_partials(folder)
        content = _scan(job, folder)
        if force:
            _clear(folder)
        head = source[1] if source else {name: read_manifest(folder)[name] for name in HEAD}
        parts = find_parts(folder)
        chunks = _missing(parts, content, head)
        if chunks:
            if source is None:
                return None
            what = f"the {head['kind']} of {job.modality.noun}"
            cure = "free space there, or choose a --workspace on another disk"
            refuse_no_room(folder, _bytes_of(chunks, head), what, cure)
            job.world.broadcast(True)
            _encode_together(job, source[0], content, chunks, folder)
            parts = find_parts(folder)
        if job.settings.prune:
            parts = prune(folder, parts, content)
        catalogue = StoredContents(parts)
        table = catalogue.items(job.items, content)
        if job.settings.strict:
            refuse_unusable(job.items, table)
        if table[ROW].null_count == len(table):
            _refuse_nothing(job, count_reasons(table))
        if head["kind"] == "vectors":
            refuse_useless(folder.name, parts, content)
        changed = commit(
            folder, {**head, "request": job.request(), "catalogue": job.catalogue}, catalogue, table
        )
        drop_unused(folder, catalogue)
        encoded = sum(len(chunk.members) for chunk in chunks)
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
        _refuse_nothing(job, count_reasons(content))
    return content


def _missing(parts: list[Part], content: pa.Table, head: dict[str, Any]) -> list[Chunk]:
    return StoredContents(parts).missing(content, _row_bytes(head))


def _row_bytes(head: dict[str, Any]) -> int:
    """The size of one row of a store, without its key."""
    return int(head["dimension"] * np.dtype(head["dtype"]).itemsize)


def _bytes_of(chunks: list[Chunk], head: dict[str, Any]) -> int:
    """The size of the rows that `chunks` will become."""
    return sum(len(chunk.members) for chunk in chunks) * _row_bytes(head)


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
    with progress(f"encode {noun}", total, noun, shown=shown) as advance:
        encode_chunks(job.modality, encoder, content, own, job.raw, folder, job.settings, advance)
    job.world.barrier()


def _refuse_nothing(job: StoreJob, missing: dict[str, int]) -> None:
    cure = job.modality.cure(job.raw, missing)
    raise DataError(
        f"none of the {len(job.items):,} items has usable {job.modality.noun} ({reasons_in_words(missing)}); "
        f"{cure}"
    )


def reasons_in_words(counts: dict[str, int]) -> str:
    """Counts by reason, in words."""
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
