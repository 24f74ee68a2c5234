"""Training speed: SASRec-ID beside RecBole's and RecTools' SASRec, and where a step's time goes.

    python benchmarks/training.py all --log Toys_and_Games.txt --recbole PYTHON --rectools PYTHON
    python benchmarks/training.py peers --log generated --recbole PYTHON --rectools PYTHON
    python benchmarks/training.py quality --log Toys_and_Games.txt --recbole PYTHON --minutes 30
    python benchmarks/training.py softmax|profile|tssr|scaling [--quick]
    python benchmarks/training.py gpu                   (needs one GPU; no Polars, no peer)

PYTHON are Pythons of environments of their own: recbole==1.2.1 with numpy<2, pandas<2.2, setuptools<81, and
rectools[torch]==0.19.*. With --tssr PYTHON this package runs in another one too, so that all have the same
build of torch: importing a build with CUDA takes half a gigabyte. `--log` is a file of `user item item …`
lines, or `generated`: 141,303 users, 55,285 items, 996,576 actions. All train d 128, two blocks, four heads,
L 10, the softmax over all items, 256 samples a step; RecBole's samples have one position each, the others'
up to L.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from training_data import Log, generate, read_sequences

import tssr
from tssr.core.progress import note

TOYS = (141_303, 55_285, 996_576)  # users, items, actions of Amazon Toys, 5-core
QUICK = (2_000, 3_000, 14_000)
HERE = Path(__file__).parent


def data(chosen: argparse.Namespace) -> Log:
    """The log that the options ask for."""
    if chosen.log != "generated":
        return read_sequences(Path(chosen.log))
    return generate(*(QUICK if chosen.quick else TOYS))


def prepared(log: Log, folder: Path) -> tuple[Path, Path]:
    """The log as tssr's data set: its tables as a saved log, and as `tssr export --to recbole` has them."""
    lines = np.split(log.items, log.ends[:-1])
    sequences = folder / "log.txt"
    sequences.write_text("".join(f"{user} {' '.join(map(str, own))}\n" for user, own in enumerate(lines)))
    shop = tssr.Workspace(folder / "workspace").preprocess(
        interactions=sequences, format="sequences", min_actions=0, dataset="log"
    )
    shop.export(folder / "exported", to="recbole")
    actions = shop.interactions.sort("user", "position")
    items, lengths = actions["item"].to_numpy(), np.bincount(actions["user"].to_numpy())
    return Log(items, lengths, len(shop.items)).save(folder / "log.npz"), folder / "exported"


def measured(python: Path | str, runner: str, log: Path, *options: str) -> dict[str, Any]:
    """Run one system in a process of its own and read its JSON line."""
    note(f"running {runner} {' '.join(options)}")
    program = str(Path(python).absolute() if os.sep in str(python) else python)
    command = [program, str(HERE / runner), str(log), *options]
    environment = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(HERE.parents[1]))}
    # In the log's own folder, which is a temporary one: RecBole writes where it is started.
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=log.parent)
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(command)}\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def systems(chosen: argparse.Namespace) -> dict[str, tuple[Path | str, str, tuple[str, ...]]]:
    """The systems that there is a Python for; tssr by default takes the precision that the processor has."""
    known = {
        "tssr": (chosen.tssr, "training_tssr.py", ()),
        "tssr float32": (chosen.tssr, "training_tssr.py", ("--precision", "float32")),
        "RecBole": (chosen.recbole, "training_recbole.py", ()),
        "RecTools": (chosen.rectools, "training_rectools.py", ()),
    }
    return {name: entry for name, entry in known.items() if entry[0]}


def peers(chosen: argparse.Namespace, log: Log) -> None:
    """Positions per second, seconds an epoch, peak memory and what of it was there after the imports."""
    print(f"\n{len(log.lengths):,} users, {log.item_count:,} items, {len(log.items):,} actions")
    print(
        f"{'system':<13} {'positions/s':>12} {'per cpu s':>10} {'s/epoch':>9} {'positions/epoch':>16} "
        f"{'peak MiB':>9} {'imports':>8} {'tssr is':>8} {'memory':>7}"
    )
    ours: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path, exported = prepared(log, Path(folder))
        seconds = str(5 if chosen.quick else chosen.seconds)
        for name, (python, runner, options) in systems(chosen).items():
            found = measured(
                python, runner, path, "--seconds", seconds, "--exported", str(exported), *options
            )
            rate = found["positions"] / found["seconds"]
            ours = ours or {**found, "rate": rate}
            print(
                f"{name:<13} {rate:>12,.0f} {found['positions'] / found['cpu_seconds']:>10,.0f} "
                f"{found['positions_per_epoch'] / rate:>9.1f} {found['positions_per_epoch']:>16,} "
                f"{found['peak_mib']:>9,.0f} {found['imported_mib']:>8,.0f} {ours['rate'] / rate:>7.2f}x "
                f"{ours['peak_mib'] / found['peak_mib']:>7.2f}",
                flush=True,
            )


def quality(chosen: argparse.Namespace, log: Log) -> None:
    """Wall time to the peer's own best validation NDCG@10, all items ranked, history not masked."""
    limit = str(60 * chosen.minutes)
    with tempfile.TemporaryDirectory() as folder:
        path, exported = prepared(log, Path(folder))
        asked = ("--validate", "--seconds", limit, "--exported", str(exported))
        theirs = measured(chosen.recbole, "training_recbole.py", path, *asked)["values"]
        seconds, busy, best = max(theirs, key=lambda entry: entry[2])
        ended = "its own early stopping" if theirs[-1][0] < 60 * chosen.minutes else "--minutes"
        print(f"\nRecBole's best validation NDCG@10: {best:.4f} after {seconds:.0f} s ({busy:.0f} s cpu)")
        print(f"  {len(theirs)} epochs, ended by {ended}: {', '.join(f'{entry[2]:.4f}' for entry in theirs)}")
        options = ("--validate", "--seconds", limit, "--wanted", repr(best))
        ours = measured(chosen.tssr, "training_tssr.py", path, *options)["values"]
        seconds_ours, busy_ours, reached = ours[-1]
        passed = "passes it" if reached >= best else f"stays below it ({reached:.4f})"
        print(
            f"tssr {passed} after {seconds_ours:.0f} s ({busy_ours:.0f} s cpu): "
            f"{seconds_ours / seconds:.2f} of its time"
        )


def steps(chosen: argparse.Namespace, table: str, log: Log | None) -> None:
    """The tables that need no process of their own."""
    import training_steps

    from tssr.core.device import choose_device

    rounds = 2 if chosen.quick else 5
    if table == "scaling":
        users, items = [10_000, 100_000, 1_000_000], [3_000, 10_000, 30_000, 100_000]
        print(f"\n{'users':>11} {'items':>11} {'us/position':>14}")
        training_steps.scaling(*((users[:2], items[:2]) if chosen.quick else (users, items)), rounds)
    elif table == "gpu":
        print(f"\n{'users':>9} {'items':>9} {'L':>3} {'s/epoch':>9} {'positions/s':>12} {'peak MiB':>9}")
        device = choose_device("cuda")
        for size in ((100_000, 61_574, 10), (768_079, 81_496, 20)):
            training_steps.gpu(*size, budget=60.0, device=device)
    elif log is not None and table == "softmax":
        print(f"\n{'items':>9} {'positions':>9}  {'what':<20} {'ms':>9} {'of floor':>8} {'positions/s':>11}")
        training_steps.softmax(log, rounds)
    elif log is not None and table == "profile":
        print(f"\n{'items':>9} {'model':<10} {'part':<18} {'ms':>9} {'share':>7}")
        for name in ("sasrec-id", "tssr"):
            training_steps.profile(name, log, rounds)
    elif log is not None:
        print(f"\n{'items':>9} {'model':<10} {'ms/step':>9} {'ratio':>7}")
        training_steps.ratio(log, rounds)


STEP_TABLES = ("softmax", "profile", "tssr", "scaling", "gpu")


def main() -> None:
    """Make the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", choices=("all", "peers", "quality", *STEP_TABLES))
    parser.add_argument("--log", default="generated", help="a file of sequences, or 'generated'")
    parser.add_argument("--tssr", default=sys.executable, help="a Python for this package")
    parser.add_argument("--recbole", help="a Python that has RecBole")
    parser.add_argument("--rectools", help="a Python that has RecTools")
    parser.add_argument("--seconds", type=float, default=40.0, help="of training, for each system")
    parser.add_argument("--minutes", type=float, default=30.0, help="of training for `quality`, at most")
    parser.add_argument("--quick", action="store_true", help="small data and few rounds, to see that it runs")
    chosen = parser.parse_args()
    if chosen.table == "quality" and not chosen.recbole:
        parser.error("quality needs --recbole")
    log = data(chosen) if chosen.table not in ("scaling", "gpu") else None
    if log is not None and chosen.table in ("all", "peers"):
        peers(chosen, log)
    if log is not None and chosen.table == "quality":
        quality(chosen, log)
    for table in STEP_TABLES[:4] if chosen.table == "all" else (chosen.table,):
        if table in STEP_TABLES:
            steps(chosen, table, log)


if __name__ == "__main__":
    main()
