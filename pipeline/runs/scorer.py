"""From a trained model to the scorer that `evaluation` ranks with."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...core.dataset import Int64, Queries
from ...core.errors import DivergedError, UsageError
from ...core.float32 import full_float32
from ...core.torchrun import current_world
from ...evaluation.metrics import RankCounts
from ...evaluation.ranking import RankingOptions, Ranks, rank_targets, shard_range
from ...evaluation.scoring import DenseScorer, Scorer, VectorScorer
from ...model.batches import newest
from ...model.recommender import ColdVectors, DenseRecommender, RanksColdItems, scores_by_block

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...model.recommender import Recommender

SELECTION_K = 10  # validation NDCG at this length decides which weights of a training are kept


def scorer_of(
    model: Recommender, queries: Queries, cold: NDArray[np.bool_] | None = None, cold_bonus: float = 0.0
) -> Scorer:
    """A scorer of `queries` by `model`, which must be in eval mode.

    Items of `cold`, (N,), are scored from content alone, and `cold_bonus` is added to that. Raises UsageError
    where the model cannot score them so.
    """
    if cold is not None and not ranks_cold_items(model):
        raise UsageError(
            "--cold-items: this model knows an item by its actions alone and cannot rank one without any "
            "(a blend whose weights leave content out is such a model); train content-knn, tssr-rank, or a "
            "model that reads content with --head content or --head table+content"
        )
    skipped = partial(_newest_items, queries) if model.skips_last else None
    if isinstance(model, DenseRecommender):
        if cold is None:
            return DenseScorer(scores_by_block(model, queries), skipped)
        scores = scores_by_block(model, queries, torch.from_numpy(cold))
        return DenseScorer(lambda low, high: scores(low, high) + cold_bonus * cold, skipped)

    def encode(low: int, high: int) -> NDArray[np.float32]:
        with torch.inference_mode(), full_float32():
            states: NDArray[np.float32] = model.encode_queries(queries, low, high).float().cpu().numpy()
        return states

    with torch.inference_mode(), full_float32():
        if cold is not None and isinstance(model, ColdVectors):
            parts = model.items_with_cold(torch.from_numpy(cold))
        else:
            parts = model.items()
        items, bias = (part.detach().float().cpu().numpy() for part in parts)
    if cold is not None:
        # A score is the inner product plus the item's bias, so the bonus is a part of that.
        bias = bias + np.float32(cold_bonus) * cold
    return VectorScorer(encode, items, bias, skipped)


def ranks_cold_items(model: object) -> bool:
    """Whether the model can score an item that nobody has taken yet."""
    return isinstance(model, RanksColdItems) and model.ranks_cold_items


def _newest_items(queries: Queries, low: int, high: int) -> Int64:
    """The newest item of histories low…high-1, (B,); 0 for one that is empty."""
    return newest(queries.histories, low, high, 1)[:, 0].numpy()


def own_queries(count: int) -> tuple[int, int]:
    """The queries lo…hi-1 that this process ranks."""
    world = current_world()
    return shard_range(count, world.rank, world.size)


def joined_ranks(part: Ranks) -> Ranks:
    """The ranks of all queries, from the parts of the processes."""
    gather = current_world().gather
    users, targets = (gather(torch.tensor(numbers)).numpy() for numbers in (part.users, part.targets))
    by_mask = {mask: gather(torch.tensor(found)).numpy() for mask, found in part.by_mask.items()}
    lists = {mask: gather(torch.tensor(items)).numpy() for mask, items in part.lists.items()}
    return Ranks(users, targets, by_mask, part.depth, lists)


def validation_ndcg(model: Recommender, queries: Queries, device: torch.device) -> float:
    """NDCG@10 of the validation targets among all items, history mask `none`; the same on every process.

    Under torchrun each process ranks a part of the queries and the counts of ranks are added up, so that any
    number of processes gives the same value.
    """
    options = RankingOptions(depth=SELECTION_K, device=str(device))
    part = own_queries(len(queries))
    diverged, counts = None, RankCounts.of(np.empty(0), SELECTION_K)
    try:
        ranks = rank_targets(queries, scorer_of(model, queries), options, bounds=part)
        counts = RankCounts.of(ranks.by_mask["none"], SELECTION_K)
    except DivergedError as error:
        diverged = error  # the others must hear of it, for they wait for this process's counts
    # Counts are whole numbers, so their sum does not depend on how the queries were divided.
    own = [int(diverged is not None), counts.queries, *counts.counts.tolist()]
    failed, asked, *sums = current_world().sum(torch.tensor(own)).tolist()
    if failed:
        raise diverged or DivergedError(
            "scores are NaN or infinite in another process; lower --learning-rate and train again"
        )
    counts = RankCounts(asked, np.array(sums))
    return counts.metrics((SELECTION_K,))[f"ndcg@{SELECTION_K}"]
