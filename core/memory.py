"""How much memory this process has needed, and how much there is for it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_SYSTEM = Path("/proc/meminfo")
_CONTAINER = Path("/sys/fs/cgroup")


def peak_memory() -> int:
    """The most bytes that this process has held in memory so far.

    Linux hands a child process the `ru_maxrss` of the parent that started it, so there the kernel's own high
    water mark is read, which begins anew with every program.
    """
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def free_memory() -> int | None:
    """The bytes of memory that this process can still have; None where the system does not tell.

    In a container it is what is left below the container's own limit.
    """
    if not _SYSTEM.exists():
        return None
    lines = dict(line.split(":", 1) for line in _SYSTEM.read_text(encoding="ascii").splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    try:
        limit = int((_CONTAINER / "memory.max").read_text(encoding="ascii"))  # "max" where there is none
        used = int((_CONTAINER / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return free
    return max(0, min(free, limit - used))
