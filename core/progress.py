"""Progress for a person: a bar on a terminal, a plain line now and then where the output is piped.

Everything here goes to stderr; stdout carries only results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from html import escape
from importlib import import_module
from typing import Any

from .torchrun import process_rank

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_DRAWINGS = 0.25  # in a notebook

Advance = Callable[..., None]


def note(message: str, *, known_to_all: bool = True) -> None:
    """Say one line on stderr at once.

    Under torchrun the main process says for all what all of them know. What only this process knows, it says
    itself, with its rank.
    """
    rank = process_rank()
    if rank and known_to_all:
        return
    who = f"process {rank} of this torchrun: " if rank else ""
    print(f"{who}{message}\n", end="", file=sys.stderr, flush=True)  # noqa: T201 - the one place that speaks


@cache
def note_once(message: str) -> None:
    """A note that a process makes once however often it is asked for."""
    note(message)


def duration(seconds: float) -> str:
    """A span of time as a person reads it.

    >>> duration(59.7), duration(3725)
    ('1:00', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def progress(what: str, total: int | None, unit: str, *, shown: bool = True) -> Iterator[Advance]:
    """Show how far a loop is; yields `advance(count=1, text="", now=False)`, `text` being the newest figures.

    On a pipe a line is printed now and then; with `now` one is printed at once, as for a validation.
    `total` None means that the end is not known. With `shown` False nothing is printed, because another
    process of torchrun shows the progress.
    """
    if not shown:
        yield lambda count=1, text="", now=False: None
    elif _in_notebook():
        with _notebook_line(what, total, unit) as advance:
            yield advance
    elif sys.stderr.isatty():
        with _bar(what, total, unit) as advance:
            yield advance
    else:
        yield _lines(what, total, unit)


@contextmanager
def _bar(what: str, total: int | None, unit: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what, total=total, text="")

        def advance(count: int = 1, text: str = "", now: bool = False) -> None:
            if text:
                bars.update(task, text=text)
            bars.update(task, advance=count)

        yield advance


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which shows what is handed to IPython's display."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


@contextmanager
def _notebook_line(what: str, total: int | None, unit: str) -> Iterator[Advance]:
    """A bar under the cell, drawn anew at most a few times a second; what is left is how long it took."""
    notebook: Any = import_module("IPython.display")
    started = last = time.monotonic()
    done = 0
    shown = notebook.display(notebook.HTML(escape(what)), display_id=True)

    def draw(text: str) -> None:
        bar = f'<progress value="{done}" max="{total}"></progress> ' if total else ""
        of = f"/{total:,}" if total is not None else ""
        shown.update(notebook.HTML(f"{escape(what)} {bar}{done:,}{of} {escape(unit)} {escape(text)}"))

    def advance(count: int = 1, text: str = "", now: bool = False) -> None:
        nonlocal done, last
        done += count
        if now or time.monotonic() - last >= SECONDS_BETWEEN_DRAWINGS:
            last = time.monotonic()
            draw(text)

    yield advance
    draw(f"in {duration(time.monotonic() - started)}")


def _lines(what: str, total: int | None, unit: str) -> Advance:
    started = last = time.monotonic()
    done = 0

    def advance(count: int = 1, text: str = "", now: bool = False) -> None:
        nonlocal done, last
        done += count
        moment = time.monotonic()
        if now or moment - last >= SECONDS_BETWEEN_LINES:
            last = moment
            of = f"/{total}" if total is not None else ""
            rate = done / max(moment - started, 1e-9)
            note(f"{what}: {done}{of} {unit}, {rate:.1f}/s{', ' + text if text else ''}")

    return advance


Tell = Callable[[str, str], None]


@contextmanager
def side_by_side() -> Iterator[Tell]:
    """Show progress of several tasks at once; yields `tell(task, line)`, where an empty line ends the task.

    On a terminal each task has one line, its newest; where the output is piped, every line is written.
    Threads may tell at the same time.
    """
    if not sys.stderr.isatty():
        yield lambda task, line: note(f"{task}: {line}") if line else None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[line]}", markup=False),
    )
    shown: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as lines:

        def tell(task: str, line: str) -> None:
            if task not in shown:
                shown[task] = lines.add_task(task, total=None, line=line)
            elif line:
                lines.update(shown[task], line=line)
            else:
                lines.remove_task(shown.pop(task))

        yield tell
