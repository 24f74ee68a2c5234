"""Ranking of this package on a saved log, with its floor, as evaluation.py runs it beside its peers.

    python benchmarks/evaluation_tssr.py log.npz --runs 3
    python benchmarks/evaluation_tssr.py log.npz --runs 1 --first 8192      (for the peak memory)

Prints one JSON line. The weights of the model are its first ones: time does not depend on what they say.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from evaluation_runner import BLOCKS, FEEDFORWARD, HEADS, LENGTH, TOPK, WIDTH, Works, run
from training_data import Log
from training_steps import materials_of, split_of

from tssr.evaluation.ranking import BLOCK, RankingOptions, rank_targets
from tssr.evaluation.scoring import VectorScorer
from tssr.model.registry import MODELS
from tssr.model.settings import SASRecSettings
from tssr.pipeline.runs.scorer import scorer_of


def prepare(log: Log, chosen: argparse.Namespace) -> tuple[int, Works]:
    """How many users are ranked, and what is timed."""
    split = split_of(log)
    torch.manual_seed(1)
    settings = SASRecSettings(width=WIDTH, heads=HEADS, blocks=BLOCKS, feedforward_width=FEEDFORWARD)
    model = MODELS["sasrec-id"].build(materials_of(split.train, LENGTH), settings)
    assert isinstance(model, torch.nn.Module)
    model.eval()
    queries = split.test
    scorer = scorer_of(model, queries)
    assert isinstance(scorer, VectorScorer)
    users = min(chosen.first or len(queries), len(queries))
    bounds = (0, users)
    blocks = [(lo, min(lo + BLOCK, users)) for lo in range(0, users, BLOCK)]
    thorough = RankingOptions(("none", "exempt", "hard"), LENGTH, lists=TOPK)
    ranks = {"ranks, three masks, lists": lambda: rank_targets(queries, scorer, thorough, bounds=bounds)}
    if chosen.first:
        return users, ranks
    states = np.concatenate([scorer.encode(lo, hi) for lo, hi in blocks])
    scores = np.empty((BLOCK, log.item_count), dtype=np.float32)

    def encoding() -> None:
        for lo, hi in blocks:
            scorer.encode(lo, hi)

    def product() -> None:
        for lo, hi in blocks:
            np.matmul(states[lo:hi], scorer.items.T, out=scores[: hi - lo])

    return users, {
        "encoding": encoding,
        "bare product": product,
        "ranks, one mask": lambda: rank_targets(queries, scorer, RankingOptions(), bounds=bounds),
        **ranks,
    }


if __name__ == "__main__":
    run(prepare)
