"""Reading zip and tar archives through one interface: the regular files inside, and the bytes of each.

An archive is recognised by its first bytes, whatever its name: Yelp's tar comes without a suffix, or with
that of the table inside. An archive within an archive is read too, and its files are named as if it were a
folder: `yelp.zip` holds `yelp.tar/review.json`.
"""

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
from .pictures import SUFFIXES as PICTURES

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
DEEPEST = 3  # archives within one another; more than that is probably an attack (a zip bomb)
SMALLEST = 22  # bytes, a zip of nothing
HEAD = 512  # first bytes by which an archive is recognised
_TAR_MARK = slice(257, 262)
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
class ArchivedFile:
    """One regular file of an archive; `key` opens it faster than its name, also when it is opened again."""

    name: str
    size: int
    key: Any


@dataclass(frozen=True)
class InnerKey:
    """The key of a file in an archive within an archive."""

    archive: str
    key: Any


class Archive:
    """An open archive; `depth` is 1, or more for one that lies in others. `stack` closes all at the end."""

    def __init__(
        self, path: Path, opened: zipfile.ZipFile | tarfile.TarFile, stack: ExitStack, depth: int = 1
    ) -> None:
        self._path = path
        self._opened = opened
        self._stack = stack
        self._depth = depth
        self._inner: dict[str, Archive] = {}

    def entries(self) -> Iterator[ArchivedFile]:
        """The regular files, also of archives inside; folders, links and devices are left out."""
        for entry in self._own_entries():
            inner = self._archive_in(entry) if self._depth < DEEPEST else None
            if inner is None:
                yield entry
                continue
            for file in inner.entries():
                yield ArchivedFile(f"{entry.name}/{file.name}", file.size, InnerKey(entry.name, file.key))

    def _own_entries(self) -> Iterator[ArchivedFile]:
        if isinstance(self._opened, zipfile.ZipFile):
            for zipped in self._opened.infolist():
                if not zipped.filename.endswith("/"):  # is_dir fails on an entry without a name
                    yield ArchivedFile(zipped.filename, zipped.file_size, zipped)
        else:
            try:
                for tarred in self._opened:
                    if tarred.isfile():
                        yield ArchivedFile(tarred.name, tarred.size, tarred)
            except _DAMAGED_TABLE as error:
                raise _damaged(self._path, error) from None

    def _archive_in(self, entry: ArchivedFile) -> Archive | None:
        """The archive that a file is, or None: also where it cannot be read, which its reader will say."""
        if _is_picture(entry.name) or entry.size < SMALLEST:
            return None
        try:
            with self.open(entry.key) as stream:
                head = stream.read(HEAD)
            named = entry.name.lower().endswith(SUFFIXES)
            return self._open_inner(entry.name, entry.key) if named or _kind(head) else None
        except (*_DAMAGED_TABLE, OSError, DataError):
            return None

    def _open_inner(self, name: str, key: Any) -> Archive:
        if name not in self._inner:
            stream = self._stack.enter_context(self.open(key))
            opened = _opened(stream, _kind(stream.read(HEAD)) == "zip")
            self._stack.callback(opened.close)
            self._inner[name] = Archive(self._path, opened, self._stack, self._depth + 1)
        return self._inner[name]

    def open(self, key: Any) -> BinaryIO:
        """The bytes of a file, by its key or its name; at most as many as the archive declares.

        Raises DataError for a file behind a password or compressed in a way that Python does not know.
        """
        if isinstance(key, str) and (outer := self._outer(key)) is not None:
            return self._open_inner(outer, outer).open(key.removeprefix(f"{outer}/"))
        if isinstance(key, InnerKey):
            return self._open_inner(key.archive, key.archive).open(key.key)
        if isinstance(self._opened, tarfile.TarFile):
            return cast(BinaryIO, self._opened.extractfile(key))
        try:
            return cast(BinaryIO, self._opened.open(key))
        except (RuntimeError, NotImplementedError) as error:
            raise DataError(f"{self._path.name}: {error}; unpack it by hand") from None
        except (OverflowError, ValueError) as error:
            raise _damaged(self._path, error) from None

    def _outer(self, name: str) -> str | None:
        """The archive within this one that the file `name` lies in; None where it lies in this one itself."""
        own = self._opened
        names = set(own.namelist() if isinstance(own, zipfile.ZipFile) else own.getnames())
        if name in names:
            return None
        parts = name.split("/")
        folders = ("/".join(parts[:length]) for length in range(1, len(parts)))
        return next((folder for folder in folders if folder in names), None)

    def read(self, entry: ArchivedFile) -> bytes:
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
        try:
            kind = _kind(_head(path))
            is_zip = kind == "zip" or (kind is None and path.name.lower().endswith(".zip"))
            file = stack.enter_context(path.open("rb"))
            opened = _opened(file, is_zip)
            stack.callback(opened.close)
        except _DAMAGED_TABLE as error:
            raise _damaged(path, error) from None
        try:
            yield Archive(path, opened, stack)
        except _DAMAGED as error:
            raise _damaged(path, error) from None


def _opened(file: BinaryIO, is_zip: bool) -> zipfile.ZipFile | tarfile.TarFile:
    file.seek(0)
    return zipfile.ZipFile(file) if is_zip else tarfile.open(fileobj=file)


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path.name}: damaged or no archive ({error}); download it again")


def _is_picture(name: str) -> bool:
    return name.rpartition(".")[2].lower() in PICTURES


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def _kind(head: bytes) -> str | None:
    """`zip` or `tar` (also one that gzip compressed), by the first bytes of a file; None for any other."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"\x1f\x8b"):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, HEAD)
        except zlib.error:
            return None
    return "tar" if head[_TAR_MARK] == b"ustar" else None


def is_archive(path: Path) -> bool:
    """Whether a file is an archive by its name or by its first bytes."""
    if path.name.lower().endswith(SUFFIXES):
        return True
    try:
        return not _is_picture(path.name) and _kind(_head(path)) is not None
    except OSError:  # its reader will say that it may not be read
        return False


def archives_in(folder: Path) -> list[Path]:
    """The archives in a folder, by name."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and is_archive(path))


def find_member(archive: Path, name: str) -> str | None:
    """The file in an archive whose path ends with the path `name`, or None; of several the least deep.

    What a Mac adds to its archives is no file of the dump.
    """
    inside = _names(archive, archive.stat().st_mtime_ns)
    found = [path for path in inside if f"/{path}".endswith(f"/{name}") and "__MACOSX/" not in path]
    return min(found, key=lambda path: path.count("/"), default=None)


def only_member(archive: Path) -> str | None:
    """The one file of an archive that holds no other, or None."""
    inside = [path for path in _names(archive, archive.stat().st_mtime_ns) if "__MACOSX/" not in path]
    return inside[0] if len(inside) == 1 else None


@lru_cache(maxsize=32)
def _names(archive: Path, _modified_ns: int) -> tuple[str, ...]:
    with open_archive(archive) as opened:
        return tuple(entry.name for entry in opened.entries())
