"""Unpacking pictures from an archive; all other files of a dump are read inside it.

An archive is not trusted: a path that leads out of the folder is refused, files larger than a picture are
left out, and so are links, devices and everything that is no picture.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ...core.artifacts import atomic_folder, refuse_no_room
from ...core.errors import DataError
from ...core.progress import note, progress
from .archives import ArchivedFile, archives_in, open_archive
from .pictures import SUFFIXES

LARGEST_PICTURE = 64 << 20
Chosen = dict[PurePosixPath, ArchivedFile]  # where each goes, below the folder
SPARE = 1 << 30  # bytes of the disk that unpacking leaves free


def unpack_pictures(root: Path, name: str) -> None:
    """Unpack the pictures under `name/` from the archives in `root`, unless the folder `name` is there.

    Raises DataError for an archive that is damaged or whose paths leave the folder, TssrError where the disk
    cannot hold the pictures.
    """
    if (root / name).exists():
        return
    found: dict[Path, Chosen] = {}
    there: set[PurePosixPath] = set()
    for path in archives_in(root):
        try:
            chosen = _chosen(path, name)
        except DataError as error:
            if not there:  # the pictures may be in this one
                raise
            note(f"{error}; the pictures are taken from other archives")
            continue
        found[path] = {place: entry for place, entry in chosen.items() if place not in there}
        there |= chosen.keys()
    if there:
        _copy({path: chosen for path, chosen in found.items() if chosen}, root / name)


def _chosen(path: Path, name: str) -> Chosen:
    """The pictures of one archive."""
    with open_archive(path) as archive:
        pictures = [(_place(path, entry.name, name), entry) for entry in archive.entries()]
    chosen = {place: entry for place, entry in pictures if place and entry.size <= LARGEST_PICTURE}
    large = sum(place is not None and entry.size > LARGEST_PICTURE for place, entry in pictures)
    if large:
        note(f"{path.name}: {large:,} pictures above {LARGEST_PICTURE >> 20} MiB stay packed")
    return chosen


def _place(archive: Path, path: str, name: str) -> PurePosixPath | None:
    """Where a member goes below the folder `name`; None for what is no picture of that folder."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if name not in parts[:-1] or path.rpartition(".")[2].lower() not in SUFFIXES:
        return None
    if ".." in parts or parts[0] == "/":
        raise DataError(f"{archive.name}: the path {path!r} leaves the folder; do not trust this archive")
    return PurePosixPath(*parts[parts.index(name) + 1 :])


def _copy(found: dict[Path, Chosen], target: Path) -> None:
    names = " and ".join(path.name for path in found)
    entries = [entry for chosen in found.values() for entry in chosen.values()]
    needed = sum(entry.size for entry in entries)
    cure = f"unpack them elsewhere and link them as {target}"
    refuse_no_room(target.parent, needed + SPARE, f"{names}: the pictures and some space to spare", cure)
    note(f"unpacking {len(entries):,} pictures from {names} into {target}")
    with atomic_folder(target) as temporary, progress("unpack", len(entries), "pictures") as advance:
        for path, chosen in found.items():
            with open_archive(path) as archive:
                for place, entry in chosen.items():
                    (temporary / place).parent.mkdir(parents=True, exist_ok=True)
                    (temporary / place).write_bytes(archive.read(entry))
                    advance()
