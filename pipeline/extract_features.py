"""The stage `extract-features`: every item's content through an encoder, once, into the feature store."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.artifacts import atomic_path, fingerprint, read_json, sweep_partials
from ..core.errors import ArtifactError, DataError
from ..core.progress import progress
from ..core.schema import IMAGE, ITEM, ITEM_ID, ITEMS, ITEMS_FILE, MANIFEST_FILE, TEXT, read_table
from ..core.summary import Summary
from ..core.workspace import Workspace
from ..features.content import CONTENT, refuse_unusable, scan, source_stamp
from ..features.lock import exclusive
from ..features.parts import Catalogue, Chunk, Part, commit, count_reasons, find_parts
from ..features.settings import EncoderChoice, FeatureSettings
from ..features.store import FORMAT, ROW, StoreInfo, read_manifest, store_info

if TYPE_CHECKING:
    from ..features.encoder import Encoder

CONTENT_FILE = "content.parquet"
ABSENT = ("file missing", "no picture named", "no text")  # nothing there; every other reason is bad content
NOUNS = {"image": "pictures", "text": "texts"}
HEAD = ("format", "modality", "encoder", "dimension", "dtype", "key")  # what the vectors are, in the manifest


@dataclass(frozen=True)
class Job:
    """One modality of one data set through one encoder."""

    choice: EncoderChoice
    settings: FeatureSettings
    dataset: str
    items: pa.Table
    raw: Path

    def request(self) -> dict[str, Any]:
        """What was asked for, with the state of local files: equal requests give equal stores."""
        files = {name: source_stamp(value) for name, value in self.choice.sources().items()}
        return {**self.choice.record(), "dtype": self.settings.dtype, "files": files}


@dataclass(frozen=True)
class Report:
    """What became of one store."""

    info: StoreInfo
    missing: dict[str, int]
    encoded: int
    seconds: float
    cached: bool


def extract_features(workspace: Workspace, settings: FeatureSettings, *, force: bool = False) -> Summary:
    """Make or extend one feature store for each modality.

    Raises DataError for a raw folder that is missing or holds none of the content, UsageError for an encoder
    that cannot be had.
    """
    folder = workspace.choose_dataset(settings.dataset)
    cure = f"make data set {folder.name} again with: tssr preprocess … --force"
    items = read_table(folder / ITEMS_FILE, ITEMS, cure=cure, columns=[ITEM, ITEM_ID, TEXT, IMAGE])
    raw = settings.raw or Path(str(read_json(folder / MANIFEST_FILE, cure=cure).get("raw", "")))
    jobs = [Job(choice, settings, folder.name, items, raw) for choice in settings.choices()]
    stores = workspace.features(folder.name)
    return _summary(folder.name, [_run(job, stores, force=force) for job in jobs])


def _run(job: Job, stores: Path, *, force: bool) -> Report:
    known = None if force else _answered(stores, job.request())
    if known is not None:
        report = _fill(job, known, None)
        if report is not None:
            return report
    from ..features.encoder import load_encoder

    encoder = load_encoder(job.choice)
    key = {**encoder.key, "modality": job.choice.modality, "dtype": job.settings.dtype, "format": FORMAT}
    short = fingerprint(key)[:8]
    same = sorted(stores.glob(f"{job.choice.modality}-*-{short}"))
    folder = same[0] if same else stores / f"{job.choice.modality}-{encoder.name}-{short}"
    head = {
        "format": FORMAT,
        "modality": job.choice.modality,
        "encoder": encoder.name,
        "dimension": encoder.dimension,
        "dtype": job.settings.dtype,
        "key": key,
    }
    report = _fill(job, folder, (encoder, head), force=force)
    assert report is not None
    return report


def _answered(stores: Path, request: dict[str, Any]) -> Path | None:
    """The store that an equal request made: seen without loading the encoder."""
    for path in sorted(stores.glob(f"*/{MANIFEST_FILE}")):
        try:
            if read_manifest(path.parent).get("request") == request:
                return path.parent
        except ArtifactError:
            continue  # the encoder's key will find the folder and mend it
    return None


def _fill(
    job: Job, folder: Path, source: tuple[Encoder, dict[str, Any]] | None, *, force: bool = False
) -> Report | None:
    """Bring the store in `folder` up to date; None where that takes an encoder and `source` brings none."""
    started = time.monotonic()
    with exclusive(folder):
        sweep_partials(folder)
        if force:
            (folder / MANIFEST_FILE).unlink(missing_ok=True)
            for path in folder.glob("part-*.arrow"):
                path.unlink()
        content = _scan(job, folder)
        head = source[1] if source else {key: read_manifest(folder)[key] for key in HEAD}
        parts = find_parts(folder)
        chunks = Catalogue(parts).missing(content, head["dimension"] * np.dtype(head["dtype"]).itemsize)
        if chunks:
            if source is None:
                return None
            parts += _encode(job, source[0], content, chunks, folder)
        catalogue = Catalogue(sorted(parts, key=lambda part: part.number))
        table = catalogue.items(job.items, content)
        if job.settings.strict:
            refuse_unusable(job.items, table)
        if table[ROW].null_count == len(table):
            _refuse_nothing(job, count_reasons(table))
        changed = commit(folder, {**head, "request": job.request(), "dataset": job.dataset}, catalogue, table)
        encoded = sum(len(chunk.members) for chunk in chunks)
        seconds = time.monotonic() - started
        return Report(store_info(folder), count_reasons(table), encoded, seconds, cached=not changed)


def _scan(job: Job, folder: Path) -> pa.Table:
    """The items' content; a scan's hashes are kept beside the store, so that a rerun reads no file twice."""
    path = folder / CONTENT_FILE
    try:
        previous = pq.read_table(path, schema=CONTENT)
    except (pa.ArrowException, OSError):
        previous = None
    content = scan(job.choice.modality, job.items, job.raw, previous)
    if previous is None or not content.equals(previous):
        with atomic_path(path) as temporary:
            pq.write_table(content, temporary, compression="zstd")
    if job.settings.strict:
        refuse_unusable(job.items, content)
    return content


def _encode(job: Job, encoder: Encoder, content: pa.Table, chunks: list[Chunk], folder: Path) -> list[Part]:
    from ..features.encoding import choose_device, encode_chunks, prepared_batches

    device = choose_device(job.settings.device)
    noun = NOUNS[job.choice.modality]
    total = sum(len(chunk.members) for chunk in chunks)
    with progress(f"encode {noun}", total, noun) as advance:
        batches = prepared_batches(encoder, content, chunks, job.raw, job.settings, device)
        return encode_chunks(encoder, batches, content, chunks, folder, job.settings.dtype, device, advance)


def _refuse_nothing(job: Job, missing: dict[str, int]) -> None:
    noun = NOUNS[job.choice.modality]
    cure = f"is --raw {job.raw} the right folder?"
    if job.choice.modality == "text":
        cure = "give them texts with: tssr preprocess custom … --map text=COLUMN"
    raise DataError(f"none of the {len(job.items):,} items has usable {noun} ({_listed(missing)}); {cure}")


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items())


def _note(report: Report) -> list[str]:
    """One line on the items without a vector."""
    absent = sum(count for reason, count in report.missing.items() if reason in ABSENT)
    bad = {reason: count for reason, count in report.missing.items() if reason not in ABSENT}
    if not report.missing:
        return []
    line = f"{absent:,} of {report.info.items:,} {NOUNS[report.info.modality]} missing"
    if bad:
        line += f", {sum(bad.values()):,} unusable ({_listed(bad)})"
    return [f"{line}; {report.info.folder / ITEMS_FILE} lists them."]


def _summary(dataset: str, reports: list[Report]) -> Summary:
    rows = [
        (
            report.info.name,
            f"{report.info.dimension:,}",
            f"{report.info.items:,}",
            f"{report.info.missing:,}",
            f"{report.encoded:,}",
            f"{report.info.bytes / 2**20:,.1f} MiB",
        )
        for report in reports
    ]
    stores = [
        {
            **{key: value for key, value in asdict(report.info).items() if key != "missing"},
            "folder": str(report.info.folder),
            "missing": report.missing,
            "encoded": report.encoded,
            "seconds": round(report.seconds, 3),
        }
        for report in reports
    ]
    return Summary(
        f"Features of {dataset}",
        rows,
        {"dataset": dataset, "stores": stores},
        columns=("store", "dimension", "items", "missing", "encoded", "size"),
        notes=[line for report in reports for line in _note(report)],
        cached=all(report.cached for report in reports),
    )
