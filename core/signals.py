"""A command that is told to end: it tidies up and speaks its last words, as after Ctrl-C.

SIGINT is Ctrl-C. SIGTERM is what `kill`, `timeout` and job schedulers send, SIGHUP a terminal that is closed.
Python dies of the last two on the spot, so that temporary files and the processes it started would be left.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STOPPING = (signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """Raised by a signal other than Ctrl-C; whatever answers Ctrl-C answers it too."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def stoppable() -> Iterator[None]:
    """Let the first SIGTERM or SIGHUP raise `Stopped`; later ones must not disturb the tidying up.

    A signal that the process was started to ignore stays ignored: after `nohup` that is SIGHUP. Under
    torchrun nothing changes, since there a process that tidies up would wait for others that have ended.
    """
    alone = os.environ.get("WORLD_SIZE", "1") == "1"
    if not alone or threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in _STOPPING if signal.getsignal(number) is signal.SIG_DFL]

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in ours:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def stopped_by(error: BaseException) -> int:
    """The number of the signal behind an interruption: the one of `Stopped`, else Ctrl-C's."""
    cause = error if isinstance(error, Stopped) else error.__cause__
    return cause.number if isinstance(cause, Stopped) else signal.SIGINT
