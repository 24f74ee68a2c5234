"""The files of a raw dump: finding them, reading their bytes, and the errors for missing ones.

A file may lie in the folder as it is, compressed with gzip, or inside a .zip or .tar archive, which is read
in place: nothing is unpacked, and memory holds one block of a file at a time.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from ...core.errors import DataError, os_errors_as_tssr
from ...core.words import first_few
from .archives import archives_in, find_member, is_archive, only_member, open_archive
from .encodings import as_utf_8
from .settings import UTF_8

LISTED = 8


@dataclass(frozen=True)
class RawFile:
    """One file of a dump: a file on disk, or the member of an archive."""

    path: Path
    member: str | None = None
    encoding: str = UTF_8
    """How a text file writes its letters as bytes."""

    def __str__(self) -> str:
        return self.path.name if self.member is None else f"{self.path.name}:{self.member}"

    @property
    def name(self) -> str:
        """The file's own name, without folders."""
        return self.path.name if self.member is None else PurePosixPath(self.member).name

    @property
    def kind(self) -> str:
        """The suffix that tells the format, in lower case and without a dot: `csv` for `a.CSV.gz`."""
        return self.name.lower().removesuffix(".gz").rpartition(".")[2]

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the file's bytes, uncompressed and as UTF-8; raises TssrError where it cannot be read."""
        with ExitStack() as stack:
            with os_errors_as_tssr(f"read {self.path}", self.path):
                if self.member is None:
                    stream: BinaryIO = stack.enter_context(self.path.open("rb"))
                else:
                    archive = stack.enter_context(open_archive(self.path))
                    stream = stack.enter_context(archive.open(self.member))
            if self.name.lower().endswith(".gz"):
                stream = cast(BinaryIO, stack.enter_context(gzip.open(stream)))
            yield as_utf_8(stream, self.encoding)


@dataclass(frozen=True)
class RawFolder:
    """The folder of one dump, and what its format expects to find there."""

    path: Path
    format: str
    expected: Sequence[str]
    source: str
    signatures: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """For every format the globs that tell its dumps from others."""
    encoding: str = UTF_8
    """Of its text files."""

    def find(self, name: str, *other_names: str) -> RawFile:
        """The file `name`, in some editions called otherwise; raises DataError that says what is there."""
        found = (file for each in (name, *other_names) if (file := self.find_optional(each)))
        file = next(found, None)
        if file is None:
            raise self.wrong(f"{name} is not there")
        return file

    def find_optional(self, name: str) -> RawFile | None:
        """The file `name`: in the folder, with `.gz` behind it, or in an archive of the folder; else None."""
        unpacked = self.find_unpacked(name)
        if unpacked is not None:
            return unpacked
        for path in self._named(name):  # an archive under the name of the table in it
            member = find_member(path, name) or only_member(path)
            if member is not None:
                return RawFile(path, member, self.encoding)
        for archive in archives_in(self.path):
            member = find_member(archive, name) or find_member(archive, f"{name}.gz")
            if member is not None:
                return RawFile(archive, member, self.encoding)
        return None

    def find_unpacked(self, name: str) -> RawFile | None:
        """The file `name` in the folder itself, perhaps with `.gz` behind it, or None; an archive is none."""
        found = (path for path in self._named(name) if not is_archive(path))
        return next((RawFile(path, encoding=self.encoding) for path in found), None)

    def _named(self, name: str) -> list[Path]:
        return [path for path in (self.path / name, self.path / f"{name}.gz") if path.is_file()]

    def find_in_archive(self, archive: str, name: str) -> RawFile | None:
        """The file `name` in the archive `archive` of the folder, or None."""
        path = self.path / archive
        member = find_member(path, name) if path.is_file() else None
        return RawFile(path, member, self.encoding) if member is not None else None

    def wrong(self, what: str) -> DataError:
        """The error for a folder that lacks what its format needs."""
        expects = f"{self.format} expects {', '.join(self.expected)} from {self.source}"
        if self.path.is_file():
            return DataError(f"{self.path} is a file; name the folder that it lies in with --raw")
        if not self.path.is_dir():
            return DataError(
                f"there is no folder {self.path}; {expects}; put them there, or name their folder with --raw"
            )
        names = sorted(entry.name + "/" * entry.is_dir() for entry in self.path.iterdir())
        there = first_few(names, LISTED) or "nothing"
        like = [
            name
            for name, signs in self.signatures.items()
            if name != self.format and any(any(self.path.glob(sign)) for sign in signs)
        ]
        guess = f" and looks like {' or '.join(like)}" if like else ""
        return DataError(f"{self.path}: {what}; {expects}; the folder holds {there}{guess}")
