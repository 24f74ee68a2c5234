from pathlib import Path

import numpy as np
import pytest

from tssr.core.dataset import Histories, LoadedDataset
from tssr.evaluation.metrics import RankCounts
from tssr.evaluation.ranking import RankingOptions, rank_targets
from tssr.evaluation.scoring import DenseScorer, VectorScorer

pytestmark = pytest.mark.slow

# PopRec on S3-Rec's files, history masked: HR@5, HR@10, HR@20, NDCG@10.
ALL_COUNTED = {  # as S3-Rec publishes it: counts over all actions, the asked ones too
    "Toys_and_Games": ("0.0066", "0.0113", "0.0164", "0.0061"),
    "Beauty": ("0.0080", "0.0152", "0.0217", "0.0068"),
}
TRAIN_COUNTED = {
    "Toys_and_Games": ("0.0056", "0.0090", "0.0134", "0.0049"),
    "Beauty": ("0.0081", "0.0120", "0.0204", "0.0056"),
}


def sequences(folder: Path, name: str) -> LoadedDataset:
    lines = [
        np.array(line.split()[1:], dtype=np.int32)
        for line in (folder / "s3rec" / f"{name}.txt").read_text().splitlines()
    ]
    lengths = np.array([len(line) for line in lines], dtype=np.int64)
    ends = np.cumsum(lengths)
    items = np.concatenate(lines)
    return LoadedDataset(None, Histories(items, ends - lengths, ends, int(items.max())))


def popularity(counts, dense):
    if dense:
        return DenseScorer(lambda lo, hi: np.broadcast_to(counts, (hi - lo, len(counts))))
    return VectorScorer(lambda lo, hi: np.zeros((hi - lo, 0)), np.zeros((len(counts), 0)), counts)


@pytest.mark.parametrize("name", ALL_COUNTED)
@pytest.mark.parametrize("backend", ["faiss", "torch", "dense"])
def test_popularity_gives_the_published_figures(shared_data, name, backend):
    dataset = sequences(shared_data, name)
    split = dataset.leave_one_out()
    options = RankingOptions(("hard",), backend="auto" if backend == "dense" else backend)
    for counts, expected in (
        (dataset.histories.counts(), ALL_COUNTED[name]),
        (split.train.counts(), TRAIN_COUNTED[name]),
    ):
        ranks = rank_targets(split.test, popularity(counts[1:].astype("f4"), backend == "dense"), options)
        found = RankCounts.of(ranks.by_mask["hard"], ranks.depth).metrics((5, 10, 20))
        figures = [found[metric] for metric in ("recall@5", "recall@10", "recall@20", "ndcg@10")]
        assert tuple(f"{figure:.4f}" for figure in figures) == expected
