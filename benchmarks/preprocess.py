"""`tssr preprocess` on raw dumps of full size: seconds, peak memory, bytes read, beside RecBole's k-core.

    python benchmarks/preprocess.py mind --actions 1000000 10000000 --folder /some/disk
    python benchmarks/preprocess.py hm yelp --folder /some/disk
    python benchmarks/preprocess.py mind --recbole /path/to/python   (numpy<2, pandas<2.2, recbole 1.2.1)

The columns kept are user, item and time, 16 bytes an action: the memory bar is four times them. A dump that
is already in the folder is used again; the stage runs in a process of its own, whose peak memory is told by
the system.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from raw_dumps import FULL, WRITERS

from tssr.core.progress import note

COLUMN_BYTES = 16
SEED = 1


def dump(name: str, actions: int, folder: Path) -> Path:
    """The folder of a dump, written if it is not there."""
    path = folder / f"{name}-{actions}"
    if not path.exists():
        note(f"writing {path}")
        partial = path.with_suffix(".partial")
        partial.mkdir(parents=True, exist_ok=True)
        WRITERS[name](partial, actions, np.random.default_rng(SEED))
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


def recbole(python: Path, workspace: Path, folder: Path, least: int) -> str:
    """Seconds and peak memory of RecBole's filter on the unfiltered actions, and ours on the same arrays."""
    from tssr.core.dataset import load_dataset
    from tssr.pipeline.kcore import core_mask

    histories = load_dataset(workspace / "datasets" / "all").histories
    users = np.repeat(np.arange(len(histories), dtype=np.int32), histories.lengths)
    table = folder / "interactions.npz"
    np.savez(table, users=users, items=histories.items)
    started = time.perf_counter()
    left = int(core_mask(users, histories.items, least).sum())
    ours = time.perf_counter() - started
    *_, output = measured([str(python), str(Path(__file__).with_name("recbole_kcore.py")), str(table)])
    theirs, theirs_left, peak = output.split()
    assert int(theirs_left) == left, f"RecBole keeps {theirs_left} actions, tssr {left}"
    return f"5-core alone: tssr {ours:.2f} s, RecBole {theirs} s ({float(theirs) / ours:.0f}x), {peak} MiB"


def run(name: str, actions: int, folder: Path, python: Path | None) -> None:
    """Measure one dump and print its row."""
    raw = dump(name, actions, folder)
    read = sum(path.stat().st_size for path in raw.rglob("*") if path.is_file())
    with tempfile.TemporaryDirectory(dir=folder) as workspace:
        command = [
            sys.executable,
            "-m",
            "tssr",
            "preprocess",
            name,
            "--raw",
            str(raw),
            "--workspace",
            workspace,
        ]
        command += ["--keep-missing-content", "--json"]
        seconds, busy, peak, output = measured(command)
        result = json.loads(output)
        rows = result["funnel"][0]["actions"]
        bar = 4 * COLUMN_BYTES * rows / 2**20
        print(
            f"{name:<6} {rows:>12,} {seconds:>8.1f} {busy:>8.1f} {seconds / rows * 1e6:>9.2f} "
            f"{read / seconds / 1e6:>8.0f} {peak:>10,.0f} {bar:>10,.0f} {result['counts']['actions']:>12,}",
            flush=True,
        )
        if python is not None:
            measured([*command, "--min-actions", "0", "--users", "0", "--dataset", "all"])
            print(f"       {recbole(python, Path(workspace), folder, 5)}", flush=True)


def main() -> None:
    """Measure each data set at each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="+", choices=WRITERS)
    parser.add_argument("--actions", type=int, nargs="+", help="sizes; the real one where left out")
    parser.add_argument("--folder", type=Path, required=True, help="where the dumps are written")
    parser.add_argument("--recbole", type=Path, help="a Python that has RecBole")
    arguments = parser.parse_args()
    print(
        f"{'set':<6} {'actions':>12} {'seconds':>8} {'cpu s':>8} {'us/action':>9} "
        f"{'MB/s':>8} {'peak MiB':>10} {'bar MiB':>10} {'left':>12}"
    )
    for name in arguments.names:
        for actions in arguments.actions or [FULL[name]]:
            run(name, actions, arguments.folder, arguments.recbole)


if __name__ == "__main__":
    main()
