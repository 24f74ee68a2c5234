"""Exact ranking beside its physical floor: the bare product of all queries with all items.

    python benchmarks/evaluation.py

Queries are stubbed, so nothing but ranking is timed, under all three masks at once; each row is the best of
a few runs. `evaluate` keeps ranks 100 deep and lists of 20 items, validation inside training ranks 10 deep.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable

import numpy as np

from tssr.core.dataset import Histories, Queries
from tssr.evaluation.ranking import BLOCK, RankingOptions, rank_targets
from tssr.evaluation.scoring import VectorScorer
from tssr.evaluation.search import Float32
from tssr.evaluation.settings import DEPTH

WIDTH = 128
ACTIONS = 10  # of each history
MASKS = ("none", "exempt", "hard")
LISTED = 20  # items of a list, as `evaluate` gives them by default


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


def main() -> None:
    """Time the product and both backends, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=4096)
    parser.add_argument("--items", type=int, nargs="+", default=[12_000, 60_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--depths", type=int, nargs="+", default=[100, 10], help="kept ranks")
    parser.add_argument("--device", default="cpu", help="what searches, as torch names it")
    parser.add_argument("--backends", nargs="+", default=["faiss", "torch"])
    arguments = parser.parse_args()
    print(f"{'items':>8}  {'what':<22} {'users/s':>10} {'of the floor':>13}")
    for items in arguments.items:
        queries, scorer, states = catalogue(arguments.users, items, np.random.default_rng(1))
        scores = np.empty((BLOCK, items), dtype=np.float32)

        def product(
            states: Float32 = states, scorer: VectorScorer = scorer, scores: Float32 = scores
        ) -> None:
            for lo in range(0, len(states), BLOCK):
                part = states[lo : lo + BLOCK]
                np.matmul(part, scorer.items.T, out=scores[: len(part)])

        floor = seconds(product, arguments.runs)
        print(f"{items:>8}  {'bare product':<22} {len(queries) / floor:>10,.0f} {1:>13.2f}")
        for backend, depth in itertools.product(arguments.backends, arguments.depths):
            lists = LISTED if depth == DEPTH else 0
            options = RankingOptions(MASKS, ACTIONS, depth, backend, arguments.device, lists)

            def rank(
                queries: Queries = queries, scorer: VectorScorer = scorer, options: RankingOptions = options
            ) -> None:
                rank_targets(queries, scorer, options)

            spent = seconds(rank, arguments.runs)
            what = f"{backend}, {depth} deep" + (", lists" if lists else "")
            print(f"{items:>8}  {what:<22} {len(queries) / spent:>10,.0f} {spent / floor:>13.2f}")


if __name__ == "__main__":
    main()
