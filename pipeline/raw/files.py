"""The files of a raw dump: where they are, how their bytes are read, what is said when they are missing."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from ...core.errors import DataError, os_errors_as_tssr

LISTED = 8


@dataclass(frozen=True)
class RawFile:
    """One file of a dump, plain or compressed with gzip."""

    path: Path

    def __str__(self) -> str:
        return self.path.name

    @property
    def kind(self) -> str:
        """The suffix that tells the format, in lower case and without a dot: `csv` for `a.CSV.gz`."""
        name = self.path.name.lower().removesuffix(".gz")
        return name.rpartition(".")[2]

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the file's bytes, uncompressed; raises TssrError where it cannot be read."""
        with os_errors_as_tssr(f"read {self.path}", self.path):
            stream = self.path.open("rb")
        with stream:
            if self.path.name.lower().endswith(".gz"):
                with gzip.open(stream) as unpacked:
                    yield cast(BinaryIO, unpacked)
            else:
                yield stream


@dataclass(frozen=True)
class RawFolder:
    """The folder of one dump, and what its format expects to find there."""

    path: Path
    format: str
    expected: Sequence[str]
    source: str

    def find(self, name: str) -> RawFile:
        """The file `name`, or `name` with `.gz` behind it; raises DataError that says what is there."""
        file = self.find_optional(name)
        if file is None:
            raise self.wrong(f"{name} is not there")
        return file

    def find_optional(self, name: str) -> RawFile | None:
        """The file `name`, or None."""
        for candidate in (self.path / name, self.path / f"{name}.gz"):
            if candidate.is_file():
                return RawFile(candidate)
        return None

    def wrong(self, what: str) -> DataError:
        """The error for a folder that lacks what its format needs."""
        expects = f"{self.format} expects {', '.join(self.expected)} from {self.source}"
        if not self.path.is_dir():
            return DataError(
                f"there is no folder {self.path}; {expects}; put them there, or name their folder with --raw"
            )
        names = sorted(entry.name + "/" * entry.is_dir() for entry in self.path.iterdir())
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        there = ", ".join(names[:LISTED]) + more if names else "nothing"
        return DataError(f"{self.path}: {what}; {expects}; the folder holds {there}")
