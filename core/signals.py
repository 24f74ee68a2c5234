"""A command that is told to end: it tidies up and speaks its last words, as after Ctrl-C.

SIGINT is Ctrl-C. SIGTERM is what `kill`, `timeout` and job schedulers send, SIGHUP a terminal that is closed.
Python dies of the last two on the spot, so that temporary files and the processes it started would be left.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .torchrun import process_count

_STOPPING = (signal.SIGTERM, signal.SIGHUP)

# Polars sets a handler of its own for Ctrl-C, after which the system takes up again whatever call the signal
# interrupts: a main thread that waits without end for a lock or for other threads never hears of it. So
# waits are given this many seconds at a time, and Ctrl-C is heard between them.
SECONDS_BETWEEN_LOOKS = 0.2


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
    alone = process_count() == 1
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


def signal_behind(error: BaseException) -> int | None:
    """The number of the signal that `error` came from, 2 for Ctrl-C; None where it came from none.

    The interruption may be hidden in another error. Python up to 3.11 turns whatever is raised while a class
    is being made into "RuntimeError: Error calling __set_name__ …", and click turns Ctrl-C into its `Abort`.
    """
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, KeyboardInterrupt):
        seen = seen.__cause__ or seen.__context__
    if seen is None:
        return None
    return seen.number if isinstance(seen, Stopped) else signal.SIGINT


def keep_exit_code() -> None:
    """Let a process that was interrupted, and has said so, end with the exit code it asks for.

    Where Ctrl-C meets Python inside `exec(text)`, as dataclasses call it, Python notes for good that nobody
    handled the interruption. Started by `python -m`, it then kills itself by SIGINT at its end, although the
    interruption was handled since. Running another text takes the note back.
    """
    exec("")
