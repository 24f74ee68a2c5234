"""One writer a folder: a lock that the kernel releases when its holder dies, so none can go stale."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import os_errors_as_tssr
from .progress import note

LOCK_FILE = ".lock"


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold `folder` for writing; where another process holds it, say which one and wait for it."""
    path = folder / LOCK_FILE
    with os_errors_as_tssr(f"lock {folder}", path):
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b", buffering=0)  # a full disk is told by the write, not again by the end
    with file:
        with os_errors_as_tssr(f"lock {folder}", path):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().decode().strip()
                note(f"{folder.name} is being written by {holder}; waiting for it to finish")
                fcntl.flock(file, fcntl.LOCK_EX)
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
