"""When the next request may begin, over all threads of a download, and how all of them are stopped."""

from __future__ import annotations

import threading
import time


class PaceStoppedError(Exception):
    """The download was stopped while this thread waited, or before."""


class Pace:
    """Lets at most `rate` requests a second begin, over all threads, until it is stopped."""

    def __init__(self, rate: float) -> None:
        self._gap = 1.0 / rate
        self._next = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def wait(self) -> None:
        """Sleep until the next request may begin. Raises PaceStoppedError."""
        with self._lock:
            begin = max(self._next, time.monotonic())
            self._next = begin + self._gap
        self.sleep(begin - time.monotonic())

    def sleep(self, seconds: float) -> None:
        """Sleep so long, not at all below 0. Raises PaceStoppedError once the download is stopped."""
        if self._stopped.wait(max(seconds, 0.0)):
            raise PaceStoppedError

    def stop(self) -> None:
        """End the waits of all threads, and let no further request begin."""
        self._stopped.set()
