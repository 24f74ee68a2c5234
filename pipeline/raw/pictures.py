"""Which pictures of a dump exist: each folder is listed once, and no picture is opened."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from ...core.errors import os_errors_as_tssr

SUFFIXES = ("jpg", "jpeg", "png", "webp", "gif", "bmp")


class Pictures:
    """The pictures under `root`, asked for by a path relative to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, frozenset[str]] = {}

    def has(self, relative: str) -> bool:
        """Whether the picture is there; one outside the root never is."""
        path = PurePosixPath(relative)
        return self.inside(relative) and path.name in self._names(str(path.parent))

    @staticmethod
    def inside(relative: str) -> bool:
        """Whether a path is relative and does not leave the root."""
        return not (relative.startswith("/") or "\0" in relative or ".." in relative.split("/"))

    def named(self, folder: str) -> dict[str, str]:
        """The pictures in `folder` by their name without suffix; of several the first by name."""
        found: dict[str, str] = {}
        for name in sorted(self._names(folder)):
            stem, _, suffix = name.rpartition(".")
            if suffix.lower() in SUFFIXES:
                found.setdefault(stem, f"{folder}/{name}")
        return found

    def _names(self, folder: str) -> frozenset[str]:
        if folder not in self._folders:
            self._folders[folder] = self._list(folder)
        return self._folders[folder]

    def _list(self, folder: str) -> frozenset[str]:
        place = self.root / folder
        with os_errors_as_tssr(f"list {place}", place):
            try:
                if not place.is_dir():
                    return frozenset()
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                return frozenset()
            with os.scandir(place) as entries:
                return frozenset(entry.name for entry in entries if entry.is_file())

    def record(self) -> dict[str, Any]:
        """Which folders were asked, and a hash of the names in them: changes when a picture comes or goes."""
        return self.look_again(self._folders)

    def look_again(self, folders: Iterable[str]) -> dict[str, Any]:
        """The record of these folders as they are now."""
        digest, count = hashlib.sha256(), 0
        for folder in sorted(folders):
            names = sorted(self._folders.get(folder) or self._list(folder))
            count += len(names)
            digest.update("\0".join([folder, *names, "\n"]).encode("utf-8", errors="surrogateescape"))
        return {"folders": sorted(folders), "files": count, "sha256": digest.hexdigest()}
