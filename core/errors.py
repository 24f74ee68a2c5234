"""Errors a person can cause or cure: one line that names the file, row or option, and what to do."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FREE_SPACE = "free space there"  # how the cure begins where a disk is full


class TssrError(Exception):
    """A foreseen error; the command line prints it as one line and exits with `exit_code`."""

    exit_code = 1


class UsageError(TssrError):
    """An option or a setting that is unknown, out of range, or contradicts another."""

    exit_code = 2


class DataError(TssrError):
    """Input that is missing, malformed, or emptied by the settings."""


class DivergedError(DataError):
    """A training whose loss or weights became NaN or infinite; the same command would end the same way."""


class ArtifactError(TssrError):
    """A file tssr wrote that is missing, damaged, or belongs to something else."""


class OutdatedError(ArtifactError):
    """A run whose data set or features have changed since its training, so that nothing can use it."""


@contextmanager
def os_errors_as_tssr(doing: str, path: Path) -> Iterator[None]:
    """Turn a full disk or a denied path into one line; `doing` is a phrase such as 'write the table'."""
    try:
        yield
    except OSError as error:
        place = error.filename or path
        cure = cure_of(error, path) or f"{error.strerror or error} ({place})"
        raise TssrError(f"could not {doing}: {cure}") from error


def cure_of(error: OSError, path: Path | str) -> str | None:
    """What the system refused while `path` was written or read, and what to do; None for other errors."""
    place = error.filename or path
    cures = {
        errno.ENOSPC: f"the disk holding {path} is full; {_FREE_SPACE}, or write elsewhere",
        errno.EDQUOT: f"the disk quota of {path} is used up; {_FREE_SPACE}, or write elsewhere",
        errno.EACCES: f"no permission for {place}; check its owner and mode",
        errno.EPERM: f"no permission for {place}; check its owner and mode",
        errno.EROFS: f"{place} is on a read-only disk; write elsewhere",
        errno.ENOTDIR: f"{place} leads through a file that is no folder; check the path",
    }
    return cures.get(system_code(error) or 0)


def tells_full_disk(error: TssrError) -> bool:
    """Whether a disk without space is the reason, also where the words are those of another process."""
    return _FREE_SPACE in str(error)


def system_code(error: Exception) -> int | None:
    """The number of a system's error, also where a library tells it in words alone; None where there is none.

    Polars and safetensors write "No space left on device (os error 28)". NumPy says "1024 requested and 512
    written" where a disk was full.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    told = re.search(r"os error (\d+)", str(error))
    if told is not None:
        return int(told[1])
    return errno.ENOSPC if re.search(r"\d+ requested and \d+ written", str(error)) else None


# What the driver, cuBLAS and cuDNN say where GPU memory ran out while they asked for some themselves. Torch
# gives these errors no class of their own.
_GPU_MEMORY = ("CUDA error: out of memory", "STATUS_ALLOC_FAILED", "DEVICE_ALLOCATION_FAILED")
_CPU_MEMORY = ("DefaultCPUAllocator", "Storage size calculation")


@contextmanager
def memory_errors_as_tssr(doing: str, cure: str) -> Iterator[None]:
    """Turn memory that ran out, the computer's or a GPU's, into one line; `cure` says what to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # Torch has an exception class for GPU memory that it asks for itself; for all else there is only the
        # message to check.
        gpu = type(error).__name__ == "OutOfMemoryError" or any(words in str(error) for words in _GPU_MEMORY)
        of_torch = any(words in str(error) for words in _CPU_MEMORY)
        if not (gpu or of_torch or isinstance(error, MemoryError)):
            raise
        raise TssrError(f"out of {'GPU ' if gpu else ''}memory {doing}; {cure}") from error
