"""Files that are either whole or absent: written to a temporary name, synced, renamed.

Also the hashes by which an artifact says what it was made from.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import ArtifactError, TssrError, os_errors_as_tssr
from .lock import take_lock

TEMPORARY_SUFFIX = ".partial"
_TEMPORARY = re.compile(rf"^\.(.+)\.\d+{re.escape(TEMPORARY_SUFFIX)}$")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_no_room(folder: Path, size: int, what: str, cure: str) -> None:
    """Raise TssrError where `what`, of `size` bytes, would not fit on the disk that holds `folder`."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise TssrError(
            f"{what} take {size / 2**20:,.1f} MiB and the disk of {folder} has {free / 2**20:,.1f} MiB free; "
            f"{cure}"
        )


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it, on any failure delete it.

    Raises TssrError for a full disk, a read-only folder or a denied path.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    # `path` may lie in a folder that has its temporary name, or have one itself, to be renamed with others.
    shown = Path(*(_TEMPORARY.sub(r"\1", part) for part in path.parts))
    with os_errors_as_tssr(f"write {shown}", shown):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder; on success it takes the place of `path`, on any failure it is deleted.

    A folder that stood at `path` before is moved aside first and deleted last; where the swap fails it is
    moved back. A kill between the two renames leaves no `path`, never a mixture. What killed writers of
    `path` left is cleared away first.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    retired = path.with_name(f".{path.name}.{os.getpid()}.old{TEMPORARY_SUFFIX}")
    with os_errors_as_tssr(f"write {path}", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_after_the_dead(path)
        try:
            with _held(temporary):
                yield temporary
                for file in sorted(temporary.rglob("*")):
                    if file.is_file():
                        _sync(file)
                if path.exists():
                    path.rename(retired)
                temporary.rename(path)
            _sync(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            if retired.exists() and not path.exists():
                retired.rename(path)
            shutil.rmtree(retired, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Make a folder and hold its lock, which the kernel releases when the process dies."""
    fresh = folder.with_suffix(".new")  # under its own name it is never seen without the lock
    fresh.mkdir()
    descriptor = os.open(fresh, os.O_RDONLY)
    try:
        take_lock(descriptor, wait=True)  # where there are no locks, `_is_free` never calls a folder free
        fresh.rename(folder)
        yield
    finally:
        os.close(descriptor)


def _clear_after_the_dead(path: Path) -> None:
    """Delete what killed writers of the folder `path` left; a former folder moved aside is moved back."""
    # Not those of a folder whose name begins alike: `hm` and `hm.v2`.
    own = re.compile(rf"\.{re.escape(path.name)}\.\d+(\.old)?{re.escape(TEMPORARY_SUFFIX)}")
    for leftover in filter(lambda entry: own.fullmatch(entry.name), list(path.parent.iterdir())):
        if leftover.match(f"*.old{TEMPORARY_SUFFIX}") and not path.exists():
            leftover.rename(path)
        elif _is_free(leftover):
            shutil.rmtree(leftover, ignore_errors=True)


def _is_free(folder: Path) -> bool:
    """Whether no living process holds the folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        return take_lock(descriptor, wait=False) is True
    finally:
        os.close(descriptor)


def sweep_partials(folder: Path) -> int:
    """Delete what killed writers left in `folder`; returns how many. Call it only under the folder's lock."""
    leftovers = list(folder.glob(f".*{TEMPORARY_SUFFIX}")) if folder.is_dir() else []
    for path in leftovers:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(leftovers)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def append_line(path: Path, line: str) -> None:
    """Append a line to a text file whole or not at all: what a full disk took of it is cut off again."""
    with os_errors_as_tssr(f"write {path}", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.stat().st_size if path.exists() else 0
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError:
            if path.exists():
                os.truncate(path, before)
            raise


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object whole or not at all; NaN and infinity are refused, JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def parse_json(text: str) -> Any:
    """One JSON value. Raises ValueError, as well for text that nests its values too deeply to be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def read_json(path: Path, *, cure: str) -> dict[str, Any]:
    """Read a JSON object that tssr wrote; `cure` is the command that makes the file again.

    Raises ArtifactError where the file is missing, unreadable or no JSON object.
    """
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; {cure}") from None
    except PermissionError:
        raise ArtifactError(f"{path} may not be read; ask its owner for the permission") from None
    except OSError as error:
        raise ArtifactError(f"could not read {path}: {error.strerror}; {cure}") from None
    except ValueError as error:  # no UTF-8, or no JSON
        raise ArtifactError(f"{path} is damaged ({error}); {cure}") from None
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} is damaged (no JSON object); {cure}")
    return value


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with os_errors_as_tssr(f"read {path}", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value: Mapping[str, Any]) -> str:
    """SHA-256 of plain values in canonical JSON: the same in every process, independent of key order."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()
