"""`tssr preprocess` on raw dumps of full size: seconds, peak memory, bytes read, beside RecBole's k-core.

    python benchmarks/preprocess.py --folder /some/disk                  every set at full size, and the curve
    python benchmarks/preprocess.py mind --actions 1000000 10000000 --folder /some/disk
    python benchmarks/preprocess.py mind --recbole PYTHON --folder /some/disk       (numpy<2, recbole 1.2.1)

The columns kept are user, item and time, 16 bytes an action: the memory bar is four times them. A dump that
is already in the folder is used again (the curve's largest takes 4 GB). Each stage runs in a process of its
own, whose peak memory is told by the system.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from raw_dumps import FULL, WRITERS

from tssr.core.progress import note

COLUMN_BYTES = 16
CURVE = {"mind": (1_000_000, 10_000_000, 100_000_000)}
SEED = 1


def apart(function: Callable[..., Any], *arguments: object) -> Any:
    """What a function gives in another process: a child starts with the peak memory of its parent."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def write(name: str, actions: int, folder: Path) -> None:
    """Write a dump."""
    WRITERS[name](folder, actions, np.random.default_rng(SEED))


def dump(name: str, actions: int, folder: Path) -> Path:
    """The folder of a dump, written if it is not there."""
    path = folder / f"{name}-{actions}"
    if not path.exists():
        note(f"writing {path}")
        partial = path.with_suffix(".partial")
        partial.mkdir(parents=True, exist_ok=True)
        apart(write, name, actions, partial)
        partial.rename(path)
    return path


def measured(command: list[str]) -> tuple[float, float, float, str]:
    """Seconds, seconds of processor time, peak memory in MiB and output of a process."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        output.seek(0)
        if status:
            raise SystemExit(f"failed: {' '.join(command)}")
        return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output.read()


def own_core(dataset: Path, table: Path, least: int) -> tuple[float, int]:
    """Processor time of our k-core on a data set, and the actions left; writes its actions to `table`."""
    from tssr.core.dataset import load_dataset
    from tssr.pipeline.preprocess.kcore import core_mask

    histories = load_dataset(dataset).histories
    users = np.repeat(np.arange(len(histories), dtype=np.int32), histories.lengths)
    np.savez(table, users=users, items=histories.items)
    started = time.process_time()
    left = int(core_mask(users, histories.items, least).sum())
    return time.process_time() - started, left


def recbole(python: Path, dataset: Path) -> str:
    """Processor time and peak memory of RecBole's filter on all actions, and our time for the same."""
    table = dataset / "interactions.npz"
    ours, left = apart(own_core, dataset, table, 5)
    *_, output = measured([str(python), str(Path(__file__).with_name("recbole_kcore.py")), str(table)])
    theirs, theirs_left, peak = output.split()
    assert int(theirs_left) == left, f"RecBole keeps {theirs_left} actions, tssr {left}"
    return (
        f"5-core alone, cpu: tssr {ours:.2f} s, RecBole {theirs} s ({float(theirs) / ours:.0f}x), {peak} MiB"
    )


def run(name: str, actions: int, folder: Path, python: Path | None) -> float:
    """Measure one dump and print its row; returns the microseconds for one action."""
    raw = dump(name, actions, folder)
    read = sum(path.stat().st_size for path in raw.rglob("*") if path.is_file())
    with tempfile.TemporaryDirectory(dir=folder) as workspace:
        command = [sys.executable, "-m", "tssr", "preprocess", name, "--raw", str(raw)]
        command += ["--workspace", workspace, "--keep-missing-content", "--json"]
        seconds, busy, peak, output = measured(command)
        result = json.loads(output)
        rows = result["funnel"][0]["actions"]
        bar = 4 * COLUMN_BYTES * rows / 2**20
        print(
            f"{name:<6} {rows:>12,} {seconds:>8.1f} {busy:>8.1f} {seconds / rows * 1e6:>9.2f} "
            f"{busy / rows * 1e6:>9.2f} {read / seconds / 1e6:>8.0f} {peak:>10,.0f} {bar:>10,.0f} "
            f"{result['counts']['actions']:>12,}",
            flush=True,
        )
        if python is not None:
            measured([*command, "--min-actions", "0", "--users", "0", "--dataset", "all"])
            print(f"       {recbole(python, Path(workspace) / 'datasets' / 'all')}", flush=True)
        return seconds / rows * 1e6


def main() -> None:
    """Measure each data set at each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"{', '.join(WRITERS)}; all where left out")
    parser.add_argument(
        "--actions", type=int, nargs="+", help="sizes; where left out the real one, and for mind the curve"
    )
    parser.add_argument("--folder", type=Path, required=True, help="where the dumps are written")
    parser.add_argument("--recbole", type=Path, help="a Python that has RecBole")
    arguments = parser.parse_args()
    wrong = set(arguments.names) - set(WRITERS)
    if wrong:
        parser.error(f"unknown set {', '.join(sorted(wrong))}; choose from {', '.join(WRITERS)}")
    print(
        f"{'set':<6} {'actions':>12} {'seconds':>8} {'cpu s':>8} {'us/action':>9} {'cpu us':>9} "
        f"{'MB/s':>8} {'peak MiB':>10} {'bar MiB':>10} {'left':>12}"
    )
    for name in arguments.names or WRITERS:
        sizes = arguments.actions or CURVE.get(name, (FULL[name],))
        costs = {actions: run(name, actions, arguments.folder, arguments.recbole) for actions in sizes}
        if len(costs) > 1:
            few, many = min(costs), max(costs)
            growth = costs[many] / costs[few]
            print(f"       seconds an action, {many:,} over {few:,} actions: {growth:.2f}x", flush=True)


if __name__ == "__main__":
    main()
