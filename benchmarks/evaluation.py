"""Exact ranking beside its physical floor, and beside RecBole's full sort and RecTools' rankers.

    python benchmarks/evaluation.py all --recbole PYTHON --rectools PYTHON
    python benchmarks/evaluation.py search --items 12000 60000
    python benchmarks/evaluation.py peers --recbole PYTHON --rectools PYTHON --users 8192
    python benchmarks/evaluation.py memory

PYTHON are Pythons of environments of their own: recbole==1.2.1 and rectools==0.19.* with torch.
`search` stubs the queries, so that nothing but ranking is timed, under all three masks at once: `evaluate`
keeps ranks 100 deep and lists of 20 items, validation inside training ranks 10 deep. `peers` encodes the
histories with a SASRec of d 128, two blocks, four heads, L 20, before MIND's 81,496 items. `memory` holds all
of MIND's 768,079 users and ranks the first so many of them. Each time is the best of a few runs. On a busy
machine set OMP_NUM_THREADS=1, for all systems alike, and look at processor time.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from training import measured
from training_data import generate

from tssr.core.dataset import Histories, Queries
from tssr.evaluation.ranking import BLOCK, RankingOptions, rank_targets
from tssr.evaluation.scoring import VectorScorer
from tssr.evaluation.search import Float32
from tssr.evaluation.settings import DEPTH

WIDTH = 128
ACTIONS = 10  # of each stubbed history
MASKS = ("none", "exempt", "hard")
LISTED = 20  # items of a list, as `evaluate` gives them by default
MIND = (768_079, 81_496, 10_437_301)  # users, items, actions
FLOOR = "floor: encoding + bare product"
FASTER, NEAR = 3.0, 1.5  # the bars: times RecBole's users per second, and times the floor's seconds


def seconds(work: Callable[[], object], runs: int) -> float:
    """The shortest of `runs` runs, after one that is not counted."""
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def catalogue(users: int, items: int, rng: np.random.Generator) -> tuple[Queries, VectorScorer, Float32]:
    """Random histories, and states that lean towards their targets as a trained model's do."""
    vectors = rng.standard_normal((items, WIDTH), dtype=np.float32)
    actions = rng.integers(1, items + 1, (users, ACTIONS + 1), dtype=np.int32)
    starts = np.arange(users, dtype=np.int64) * (ACTIONS + 1)
    histories = Histories(actions.reshape(-1), starts, starts + ACTIONS, items)
    queries = Queries(np.arange(users, dtype=np.int32), histories, actions[:, -1])
    lean = rng.uniform(0, 0.4, (users, 1)).astype(np.float32)
    states = rng.standard_normal((users, WIDTH), dtype=np.float32) + lean * vectors[queries.targets - 1]
    bias = rng.standard_normal(items, dtype=np.float32)
    return queries, VectorScorer(lambda lo, hi: states[lo:hi], vectors, bias), states


def product_on_cpu(states: Float32, items: Float32, _: str) -> Callable[[], None]:
    """All scores, a block at a time."""
    scores = np.empty((BLOCK, len(items)), dtype=np.float32)

    def product() -> None:
        for lo in range(0, len(states), BLOCK):
            part = states[lo : lo + BLOCK]
            np.matmul(part, items.T, out=scores[: len(part)])

    return product


def product_on_gpu(states: Float32, items: Float32, device: str) -> Callable[[], None]:
    """All scores, a block at a time, of vectors that lie on the GPU."""
    import torch

    queries, columns = torch.from_numpy(states).to(device), torch.from_numpy(items).to(device).T

    def product() -> None:
        for block in queries.split(BLOCK):
            torch.mm(block, columns)
        torch.cuda.synchronize(device)

    return product


def search(chosen: argparse.Namespace, items: int) -> None:
    """The product and both backends, one line each."""
    queries, scorer, states = catalogue(chosen.users, items, np.random.default_rng(1))
    product = product_on_gpu if chosen.device.startswith("cuda") else product_on_cpu
    floor = seconds(product(states, scorer.items, chosen.device), chosen.runs)
    print(f"{items:>8}  {'bare product':<22} {len(queries) / floor:>10,.0f} {1:>13.2f}")
    for backend, depth in itertools.product(chosen.backends, chosen.depths):
        lists = LISTED if depth == DEPTH else 0
        options = RankingOptions(MASKS, ACTIONS, depth, backend, chosen.device, lists)
        spent = seconds(lambda options=options: rank_targets(queries, scorer, options), chosen.runs)
        what = f"{backend}, {depth} deep" + (", lists" if lists else "")
        print(f"{items:>8}  {what:<22} {len(queries) / spent:>10,.0f} {spent / floor:>13.2f}")


def peers(chosen: argparse.Namespace, folder: Path) -> None:
    """Every system's users per second on the same histories, and whether the bars are met."""
    _, items, actions = MIND
    log = generate(chosen.users, items, max(items, chosen.users * actions // MIND[0]))
    path = log.save(folder / "log.npz")
    print(f"\n{len(log.lengths):,} users, {items:,} items; load {os.getloadavg()[0]:.1f} before")
    print(f"{'system':<9} {'what':<31} {'users/s':>8} {'per cpu s':>10} {'of the floor':>13} {'peak MiB':>9}")
    found = {}
    systems = {"tssr": chosen.tssr, "recbole": chosen.recbole, "rectools": chosen.rectools}
    for name, python in systems.items():
        if python:
            found[name] = measured(python, f"evaluation_{name}.py", path, "--runs", str(chosen.runs))
    for times in (found["tssr"]["wall"], found["tssr"]["cpu"]):
        times[FLOOR] = times["encoding"] + times["bare product"]
    floor = found["tssr"]["cpu"][FLOOR]
    for name, result in found.items():
        for what, busy in result["cpu"].items():
            users, spent = result["users"], result["wall"][what]
            print(
                f"{name:<9} {what:<31} {users / spent:>8,.0f} {users / busy:>10,.0f} {busy / floor:>13.2f} "
                f"{result['peak_mib']:>9,.0f}"
            )
    bars(found)


def bars(found: dict[str, Any]) -> None:
    """Say whether the bars are met, in processor time and in wall time."""
    for time_of in ("cpu", "wall"):
        ours = found["tssr"][time_of]
        rank = ours["ranks, one mask"]
        told = f"{time_of:<4} time: ours takes {rank / ours[FLOOR]:.2f} of the floor (bar {NEAR})"
        if "recbole" in found:
            times = found["recbole"][time_of]["full sort"] / rank
            told += f", has {times:.1f} times RecBole's users per second (bar {FASTER})"
        print(told)
    print(f"load {os.getloadavg()[0]:.1f} after")


def memory(chosen: argparse.Namespace, folder: Path) -> None:
    """The most memory held with all users of MIND's size in it, and what one more ranked user adds."""
    path = generate(*MIND).save(folder / "mind.npz")
    found = measured(chosen.tssr, "evaluation_tssr.py", path, "--runs", "1", "--first", str(chosen.users))
    a_user = len(MASKS) * (8 + 4 * LISTED)  # a float64 rank and an int32 list under each mask
    print(
        f"\n{MIND[0]:,} users, {MIND[1]:,} items, {found['users']:,} users ranked, three masks and lists: "
        f"peak {found['peak_mib']:,.0f} MiB, {found['imported_mib']:,.0f} of it after the imports; "
        f"a user's answers take {a_user} bytes, those of all {a_user * MIND[0] / 2**20:,.0f} MiB"
    )


def main() -> None:
    """Make the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", nargs="?", choices=("all", "search", "peers", "memory"), default="search")
    parser.add_argument("--users", type=int, default=4096, help="that are ranked")
    parser.add_argument("--items", type=int, nargs="+", default=[12_000, 60_000], help="of `search`")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--depths", type=int, nargs="+", default=[100, 10], help="kept ranks, of `search`")
    parser.add_argument("--device", default="cpu", help="what searches, as torch names it, of `search`")
    parser.add_argument("--backends", nargs="+", default=["faiss", "torch"], help="of `search`")
    parser.add_argument("--tssr", default=sys.executable, help="a Python for this package")
    parser.add_argument("--recbole", help="a Python that has RecBole")
    parser.add_argument("--rectools", help="a Python that has RecTools")
    chosen = parser.parse_args()
    if chosen.table in ("all", "search"):
        print(f"{'items':>8}  {'what':<22} {'users/s':>10} {'of the floor':>13}")
        for items in chosen.items:
            search(chosen, items)
    with tempfile.TemporaryDirectory() as folder:
        if chosen.table in ("all", "peers"):
            peers(chosen, Path(folder))
        if chosen.table in ("all", "memory"):
            memory(chosen, Path(folder))


if __name__ == "__main__":
    main()
