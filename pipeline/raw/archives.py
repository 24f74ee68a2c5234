"""Zip and tar archives behind one face: what regular files they hold, and the bytes of each."""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

from ...core.errors import DataError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
)
_DAMAGED_TABLE = (*_DAMAGED, NotImplementedError, OverflowError, ValueError)  # in the list of what is inside


@dataclass(frozen=True)
class Entry:
    """One regular file of an archive; `key` opens it faster than its name."""

    name: str
    size: int
    key: Any


class Archive:
    """An open archive."""

    def __init__(self, path: Path, opened: zipfile.ZipFile | tarfile.TarFile) -> None:
        self._path = path
        self._opened = opened

    def entries(self) -> Iterator[Entry]:
        """The regular files; folders, links and devices are left out."""
        if isinstance(self._opened, zipfile.ZipFile):
            for zipped in self._opened.infolist():
                if not zipped.filename.endswith("/"):  # is_dir fails on an entry without a name
                    yield Entry(zipped.filename, zipped.file_size, zipped)
        else:
            try:
                for tarred in self._opened:
                    if tarred.isfile():
                        yield Entry(tarred.name, tarred.size, tarred)
            except _DAMAGED_TABLE as error:
                raise _damaged(self._path, error) from None

    def open(self, key: Any) -> BinaryIO:
        """The bytes of a file, by its key or its name; at most as many as the archive declares.

        Raises DataError for a file behind a password or compressed in a way that Python does not know.
        """
        if isinstance(self._opened, tarfile.TarFile):
            return cast(BinaryIO, self._opened.extractfile(key))
        try:
            return cast(BinaryIO, self._opened.open(key))
        except (RuntimeError, NotImplementedError) as error:
            raise DataError(f"{self._path.name}: {error}; unpack it by hand") from None
        except (OverflowError, ValueError) as error:
            raise _damaged(self._path, error) from None

    def read(self, entry: Entry) -> bytes:
        """The whole of a file; raises DataError where it is damaged or cannot be read."""
        try:
            with self.open(entry.key) as source:
                return source.read()
        except OSError as error:  # which is also what bz2 raises for damaged bytes
            raise DataError(f"{self._path.name}: {entry.name} cannot be read ({error})") from None


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive; raises DataError, also from the body, where it is damaged."""
    with ExitStack() as stack:
        opened: zipfile.ZipFile | tarfile.TarFile
        try:
            if path.name.lower().endswith(".zip"):
                opened = stack.enter_context(zipfile.ZipFile(path))
            else:
                opened = stack.enter_context(tarfile.open(path))
        except _DAMAGED_TABLE as error:
            raise _damaged(path, error) from None
        try:
            yield Archive(path, opened)
        except _DAMAGED as error:
            raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path.name}: damaged or no archive ({error}); download it again")


def archives_in(folder: Path) -> list[Path]:
    """The archives in a folder, by name."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.name.lower().endswith(SUFFIXES))
    return sorted(path for path in found if path.is_file())


def find_member(archive: Path, name: str) -> str | None:
    """The file in an archive whose path ends with the path `name`, or None; of several the least deep.

    What a Mac adds to its archives is no file of the dump.
    """
    inside = _names(archive, archive.stat().st_mtime_ns)
    found = [path for path in inside if f"/{path}".endswith(f"/{name}") and "__MACOSX/" not in path]
    return min(found, key=lambda path: path.count("/"), default=None)


@lru_cache(maxsize=32)
def _names(archive: Path, _modified_ns: int) -> tuple[str, ...]:
    with open_archive(archive) as opened:
        return tuple(entry.name for entry in opened.entries())
