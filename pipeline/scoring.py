"""A trained model as the ranking sees it: vectors of queries and items."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..core.dataset import Queries
from ..evaluation.metrics import RankCounts
from ..evaluation.ranking import RankingOptions, rank_targets
from ..evaluation.scoring import DenseScorer, Scorer, VectorScorer
from ..model.recommender import DenseRecommender

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..model.recommender import Recommender

SELECTION_K = 10  # models are selected by validation NDCG at this length


def scorer_of(model: Recommender, queries: Queries) -> Scorer:
    """Let `queries` be answered by `model`, which must be in eval mode."""
    if isinstance(model, DenseRecommender):
        return DenseScorer(partial(model.scores, queries.histories))

    def encode(low: int, high: int) -> NDArray[np.float32]:
        with torch.inference_mode():
            states: NDArray[np.float32] = model.encode_queries(queries, low, high).float().cpu().numpy()
        return states

    with torch.inference_mode():
        items, bias = (part.detach().float().cpu().numpy() for part in model.items())
    return VectorScorer(encode, items, bias)


def validation_ndcg(model: Recommender, queries: Queries, device: torch.device) -> float:
    """NDCG@10 of the validation targets among all items, history mask `none`."""
    options = RankingOptions(depth=SELECTION_K, device=str(device))
    ranks = rank_targets(queries, scorer_of(model, queries), options)
    counts = RankCounts.of(ranks.by_mask["none"], SELECTION_K)
    return counts.metrics((SELECTION_K,))[f"ndcg@{SELECTION_K}"]
