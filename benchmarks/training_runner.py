"""Shared by the runners of all systems: the command line, the clock and the JSON line at the end.

Needs NumPy alone: peers run in environments of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path

from training_data import Log, load

WARM_STEPS = 3  # not counted: the first steps allocate and start threads


class Speed:
    """Counts positions of whole steps, from the end of a few warm ones until the time is over."""

    class Over(Exception):  # noqa: N818 - it is no error
        """The time is over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.steps = self.positions = self._last = 0

    def begin(self, positions_per_epoch: int) -> None:
        """Say that everything is prepared."""
        self.per_epoch = positions_per_epoch

    def step(self, positions: int) -> bool:
        """A step with so many positions is about to start; gives whether the time is over."""
        now, busy = time.perf_counter(), time.process_time()
        self.steps += 1
        if self.steps == WARM_STEPS + 1:
            self.started, self.busy_from = now, busy
        if self.steps > WARM_STEPS + 1:
            self.positions += self._last
        self._last = positions
        self.spent, self.busy = (
            (now - self.started, busy - self.busy_from) if self.steps > WARM_STEPS else (0, 0)
        )
        return self.spent >= self.seconds and self.positions > 0

    def result(self) -> dict[str, float]:
        """What was measured."""
        return {
            "positions": self.positions,
            "positions_per_epoch": self.per_epoch,
            "seconds": self.spent,
            "cpu_seconds": self.busy,
        }


class Validated:
    """NDCG@10 after each validation, and when, from the first step on; stops by itself."""

    class Over(Exception):  # noqa: N818 - it is no error
        """The time is over or the wanted value reached."""

    def __init__(self, seconds: float, wanted: float | None) -> None:
        self.seconds, self.wanted = seconds, wanted
        self.values: list[tuple[float, float, float]] = []

    def begin(self) -> None:
        """Say that everything is prepared."""
        self.started, self.busy_from = time.perf_counter(), time.process_time()

    def add(self, value: float) -> None:
        """Note a value; raises Over when there is no need to go on."""
        spent, busy = time.perf_counter() - self.started, time.process_time() - self.busy_from
        self.values.append((spent, busy, float(value)))
        if spent >= self.seconds or (self.wanted is not None and value >= self.wanted):
            raise self.Over

    def result(self) -> dict[str, list[tuple[float, float, float]]]:
        """What was measured: seconds, seconds of processor time, value."""
        return {"values": self.values}


Train = Callable[[Log, Speed, argparse.Namespace], None]
Validate = Callable[[Log, Validated, argparse.Namespace], None]


def run(train: Train, validate: Validate) -> None:
    """Read the options, run one of the two, print what came out and the peak memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--exported", type=Path, help="of RecBole alone: what tssr export --to recbole wrote")
    parser.add_argument("--precision", default="auto", help="of tssr alone")
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--wanted", type=float, help="stop at this NDCG@10")
    chosen = parser.parse_args()
    log = load(chosen.log)
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    watch: Speed | Validated
    if chosen.validate:
        watch = Validated(chosen.seconds, chosen.wanted)
        work: Callable[[], None] = lambda: validate(log, watch, chosen)  # noqa: E731
    else:
        watch = Speed(chosen.seconds)
        work = lambda: train(log, watch, chosen)  # noqa: E731
    with contextlib.suppress(watch.Over):
        work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**watch.result(), "peak_mib": peak, "imported_mib": imported}))
