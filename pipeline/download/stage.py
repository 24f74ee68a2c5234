"""`tssr download-images`: fetch the pictures whose addresses a dump lists, into its folder `images/`.

Pictures of all items with an action are fetched. A picture that exists is not fetched again, so the same
command resumes a stopped download. Failures are listed with their reasons in `download-failures.tsv`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue

from ...core.artifacts import atomic_path, write_text
from ...core.errors import DataError, UsageError
from ...core.progress import progress
from ...core.schema import ITEM_ID
from ...core.signals import SECONDS_BETWEEN_LOOKS
from ...core.summary import Summary
from ..preprocess.action_log import collect
from ..preprocess.formats import open_dump
from ..raw.pictures import Pictures
from ..raw.problems import Problems
from .fetch import FetchError, Limits, fetch, is_public, picture_suffix
from .pace import Pace
from .settings import DownloadSettings

FOLDER, FAILURES, ADDRESSES = "images", "download-failures.tsv", "image_urls"
ALTERNATIVES = 3  # addresses of one item that are tried
LONGEST_WAIT = 60.0

_FILE_NAME = re.compile(r"[A-Za-z0-9_-]+")


def download_images(
    format_name: str,
    settings: DownloadSettings,
    raw: Path,
    allowed: Callable[[str], bool] = is_public,
) -> Summary:
    """Fetch what is missing in `raw`/images; `allowed` judges the IP address of each host.

    Raises UsageError for a format whose dumps list no addresses, DataError for a dump that is damaged.
    """
    root = settings.raw or raw
    wanted, there = _wanted(format_name, root)
    limits = Limits(settings.timeout, settings.largest << 20, allowed)
    pace = Pace(settings.rate)
    failures: dict[str, str] = {}
    ended: SimpleQueue[Future[str | None]] = SimpleQueue()
    pool = ThreadPoolExecutor(settings.workers)
    try:
        with progress(f"download {format_name}", len(wanted), "pictures") as advance:
            jobs = {
                pool.submit(_download, item, addresses, root / FOLDER, settings, limits, pace): item
                for item, addresses in wanted.items()
            }
            for job in jobs:
                job.add_done_callback(ended.put)
            for _ in jobs:
                job = _next_of(ended)
                reason = job.result()
                if reason is not None:
                    failures[jobs[job]] = " ".join(reason.split())  # a server's words may have line breaks
                advance(1, f"{len(failures)} failed")
    finally:
        pace.stop()  # a thread may be waiting for minutes, because a server asked for it
        pool.shutdown(cancel_futures=True)
    lines = [f"{item}\t{reason}\t{' '.join(wanted[item])}\n" for item, reason in sorted(failures.items())]
    write_text(root / FAILURES, "".join(["item\treason\taddresses\n", *lines]))
    if failures and len(failures) == len(wanted) and not there:
        raise DataError(
            f"none of {len(wanted):,} pictures could be fetched, the first: {next(iter(failures.values()))}; "
            f"{root / FAILURES} lists all reasons, and the same command tries again"
        )
    return _summary(format_name, root, there, len(wanted) - len(failures), failures)


def _next_of(ended: SimpleQueue[Future[str | None]]) -> Future[str | None]:
    """The next job that has ended, waited for in pieces in which Ctrl-C is heard."""
    while True:
        try:
            return ended.get(timeout=SECONDS_BETWEEN_LOOKS)
        except Empty:
            continue


def _wanted(format_name: str, root: Path) -> tuple[dict[str, list[str]], int]:
    """The addresses for each item that was acted on and has no picture, and how many have one."""
    source = open_dump(format_name, root)
    problems = Problems()
    catalogue = source.catalogue(problems).table
    if ADDRESSES not in catalogue.columns:
        raise UsageError(
            f"{format_name} lists no addresses of pictures; see docs/datasets.md for where they are"
        )
    acted_on = set(collect(source.actions(problems)).item_ids.to_list())
    pictures = Pictures(root).named(FOLDER)
    rows = catalogue.select(ITEM_ID, ADDRESSES).drop_nulls().iter_rows()
    listed = {item: addresses.split() for item, addresses in rows if item in acted_on}
    wanted = {item: addresses for item, addresses in listed.items() if addresses and item not in pictures}
    return wanted, len(acted_on & pictures.keys())


def _download(
    item: str, addresses: list[str], folder: Path, settings: DownloadSettings, limits: Limits, pace: Pace
) -> str | None:
    """Fetch one picture from the first address that gives one; returns the reason of the last failure."""
    if not _FILE_NAME.fullmatch(item):
        return "the item's id is no file name"
    reason = ""
    for address in addresses[:ALTERNATIVES]:
        try:
            data = _patiently(address, settings, limits, pace)
        except FetchError as error:
            reason = str(error)
            continue
        suffix = picture_suffix(data)
        if suffix is not None:
            with atomic_path(folder / f"{item}.{suffix}") as path:
                path.write_bytes(data)
            return None
        reason = "no picture (by its first bytes)"
    return reason


def _patiently(address: str, settings: DownloadSettings, limits: Limits, pace: Pace) -> bytes:
    """Fetch, and try again after failures that may pass; raises the last FetchError, or PaceStoppedError."""
    for attempt in range(settings.retries + 1):
        pace.wait()
        try:
            return fetch(address, limits)
        except FetchError as error:
            if not error.passing or attempt == settings.retries:
                raise
            pace.sleep(min(max(settings.backoff * 2**attempt, error.wait), LONGEST_WAIT))
    raise AssertionError("the last try returns or raises")


def _summary(format_name: str, root: Path, there: int, fetched: int, failures: dict[str, str]) -> Summary:
    reasons = Counter(failures.values()).most_common()
    notes = [f"Pictures: {root / FOLDER}"]
    if failures:
        notes.append(f"Failures with their reasons: {root / FAILURES} (the same command tries them again)")
    if not there and not fetched and not failures:
        raise DataError(f"{root}: no item that was acted on has an address of a picture")
    return Summary(
        title=f"Pictures of {format_name}",
        columns=("pictures", "count"),
        rows=[
            ("there before", f"{there:,}"),
            ("fetched", f"{fetched:,}"),
            *((f"failed: {reason}", f"{count:,}") for reason, count in reasons),
        ],
        notes=notes,
        data={
            "stage": "download-images",
            "there_before": there,
            "fetched": fetched,
            "failed": len(failures),
            "reasons": dict(reasons),
        },
        cached=not fetched and not failures,
    )
