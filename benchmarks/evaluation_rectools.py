"""RecTools' rankers on vectors of a saved log's size; run by evaluation.py where RecTools 0.19 is.

    python benchmarks/evaluation_rectools.py log.npz --runs 3

Prints one JSON line: the 20 best items of each user by RecTools' TorchRanker and ImplicitRanker. They are
given the users' vectors, so nothing is encoded, and they give lists, no ranks and no metrics.
"""

from __future__ import annotations

import argparse

import numpy as np
from evaluation_runner import TOPK, WIDTH, Works, run
from rectools.models.rank import Distance, ImplicitRanker, TorchRanker
from training_data import Log

BATCH = 512  # users at once, as ours


def prepare(log: Log, chosen: argparse.Namespace) -> tuple[int, Works]:
    """How many users are ranked, and what is timed."""
    draw = np.random.default_rng(1)
    users = len(log.lengths)
    states = draw.standard_normal((users, WIDTH), dtype=np.float32)
    items = draw.standard_normal((log.item_count, WIDTH), dtype=np.float32)
    everybody = np.arange(users)
    by_torch = TorchRanker(Distance.DOT, "cpu", states, items, batch_size=BATCH)
    by_implicit = ImplicitRanker(Distance.DOT, states, items)
    return users, {
        "TorchRanker, no encoding": lambda: by_torch.rank(everybody, k=TOPK),
        "ImplicitRanker, no encoding": lambda: by_implicit.rank(everybody, k=TOPK),
    }


if __name__ == "__main__":
    run(prepare)
