"""One writer a folder: a lock that the kernel releases when its holder dies, so none can go stale.

Some file systems, mostly of clusters, have no such locks. There a command says so and goes on without a lock:
two commands that write the same folder at once could then damage each other's files.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import os_errors_as_tssr
from .progress import note
from .signals import SECONDS_BETWEEN_LOOKS

LOCK_FILE = ".lock"

# The errors by which a file system says that it has no such locks. EBADF comes from NFS: it makes them from
# record locks, which need a file opened for writing, and a folder cannot be opened for writing.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF)


def take_lock(descriptor: int, *, wait: bool) -> bool | None:
    """Take the lock of an open file or folder; it is let go when the file is closed or the process dies.

    True where it is ours now, False where another process holds it and we do not `wait`, None where the file
    system has no locks. Raises OSError for anything else.
    """
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if not wait:
                return False
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return None
            raise
        time.sleep(SECONDS_BETWEEN_LOOKS)


@contextmanager
def exclusive(folder: Path, of: str = "") -> Iterator[None]:
    """Hold `folder` for writing, or only the files in it that are named `of`.

    Where another process holds them, say which one and wait for it. Example: `tune` holds its study of many
    in workspace/tuning.
    """
    path = folder / (f".{of}{LOCK_FILE}" if of else LOCK_FILE)
    with os_errors_as_tssr(f"lock {folder}", path):
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b", buffering=0)  # a full disk is told by the write, not again by the end
    with file:
        with os_errors_as_tssr(f"lock {folder}", path):
            held = take_lock(file.fileno(), wait=False)
            if held is False:
                file.seek(0)
                holder = file.read().decode().strip()
                note(f"{of or folder.name} is being written by {holder}; waiting for it to finish")
                take_lock(file.fileno(), wait=True)
            elif held is None:
                note(
                    f"the file system of {folder} has no locks; give only one command at a time that writes "
                    "there"
                )
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
