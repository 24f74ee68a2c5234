"""Pictures out of an archive: the only part of a dump that has to lie unpacked, since encoders read files.

Nothing in the archive decides where a file is written beyond a plain relative path, and no file may be larger
than a picture is; links, devices and everything that is no picture stay in the archive.
"""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

from ...core.artifacts import atomic_folder
from ...core.errors import DataError
from ...core.progress import note, progress
from .archives import Archive, Entry, archives_in, open_archive
from .pictures import SUFFIXES

LARGEST_PICTURE = 64 << 20
SPARE = 1 << 30  # bytes of the disk that unpacking leaves free


def unpack_pictures(root: Path, name: str) -> None:
    """Unpack the pictures under `name/` from the archives in `root`, unless the folder `name` is there.

    Raises DataError for an archive that is damaged, whose paths leave the folder, or that the disk cannot
    hold.
    """
    if (root / name).exists():
        return
    for path in archives_in(root):
        with open_archive(path) as archive:
            chosen = {
                place: entry
                for entry in archive.entries()
                if (place := _place(path, entry.name, name)) and entry.size <= LARGEST_PICTURE
            }
            if chosen:
                _copy(archive, path, chosen, root / name)
                return


def _place(archive: Path, path: str, name: str) -> PurePosixPath | None:
    """Where a member goes below the folder `name`; None for what is no picture of that folder."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if name not in parts[:-1] or path.rpartition(".")[2].lower() not in SUFFIXES:
        return None
    if ".." in parts or parts[0] == "/":
        raise DataError(f"{archive.name}: the path {path!r} leaves the folder; do not trust this archive")
    return PurePosixPath(*parts[parts.index(name) + 1 :])


def _copy(archive: Archive, path: Path, chosen: dict[PurePosixPath, Entry], target: Path) -> None:
    needed = sum(entry.size for entry in chosen.values())
    free = shutil.disk_usage(target.parent).free
    if needed + SPARE > free:
        raise DataError(
            f"{path.name}: its pictures take {needed >> 20:,} MiB and the disk has {free >> 20:,} MiB free; "
            f"unpack them elsewhere and link them as {target}"
        )
    note(f"unpacking {len(chosen):,} pictures from {path.name} into {target}")
    with atomic_folder(target) as temporary, progress("unpack", len(chosen), "pictures") as advance:
        for place, entry in chosen.items():
            (temporary / place).parent.mkdir(parents=True, exist_ok=True)
            (temporary / place).write_bytes(archive.read(entry))
            advance()
