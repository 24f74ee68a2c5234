"""Shared by the runners of evaluation.py: options, the best of a few runs, and the JSON line at the end.

Both wall time and processor time are measured. On a machine that is busy with other work, only processor time
tells what a system costs; on an idle one both agree.

Needs NumPy alone: peers run in environments of their own.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from training_data import Log, load

LENGTH = 20  # actions that all models look back on
WIDTH, HEADS, BLOCKS, FEEDFORWARD = 128, 4, 2, 256
TOPK = 20
Works = Mapping[str, Callable[[], object]]


def run(prepare: Callable[[Log, argparse.Namespace], tuple[int, Works]]) -> None:
    """Time what `prepare` gives, by name, beside the number of users, and print it with the peak memory.

    The works take turns, so that a busy moment of the machine falls on all of them. The first turn, which
    allocates and starts threads, is not counted unless there is just one.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--first", type=int, help="users to rank; all of them where it is left out")
    chosen = parser.parse_args()
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    users, works = prepare(load(chosen.log), chosen)
    wall: dict[str, float] = {}
    cpu: dict[str, float] = {}
    for turn in range(chosen.runs + (chosen.runs > 1)):
        for name, work in works.items():
            started, busy = time.perf_counter(), time.process_time()
            work()
            spent, worked = time.perf_counter() - started, time.process_time() - busy
            if turn or chosen.runs == 1:
                wall[name], cpu[name] = min(spent, wall.get(name, spent)), min(worked, cpu.get(name, worked))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {"users": users, "wall": wall, "cpu": cpu, "peak_mib": peak, "imported_mib": imported}
    print(json.dumps(result))
