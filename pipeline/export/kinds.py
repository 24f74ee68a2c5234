"""The kinds of exports: for each kind of model its files, the program that ranks from them, and its input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from ...core.dataset import Int64, LoadedDataset, Queries
from ...core.schema import ITEM_ID, USER_ID
from ...evaluation.recommending import recommend
from ...evaluation.scoring import VectorScorer
from ...model.itemknn import ItemKNN
from ...model.order_knn import OrderKNN
from ...model.poprec import PopRec
from ...model.recommender import VectorRecommender
from ...model.user_side import UserSide, reads_windows
from ..runs.plan import RunPlan
from ..runs.scorer import scorer_of
from .graphs import write_graphs
from .tables import BIAS, write_arrow, write_index, write_items

if TYPE_CHECKING:
    from ...evaluation.scoring import Scorer
    from ...model.recommender import Recommender

ITEMS_ARROW = "items.arrow"
LISTED_ITEMS = 100  # items of each user, for models that are exported as lists


@dataclass(frozen=True)
class ExportedRun:
    """The run that is exported: its model, the users whose lists are checked, the items lists may hold."""

    plan: RunPlan
    dataset: LoadedDataset
    model: Any  # of one of the families that `kind_of` knows
    queries: Queries
    scorer: Scorer
    listed: Int64  # numbers of items, (K,)
    items: pa.Table
    users: pa.Table
    cold_bonus: float  # in the scores of the cold items

    @property
    def train_counts(self) -> Int64:
        """How often each item was taken in training, (N + 1,)."""
        return self.plan.split(self.dataset).train.counts()

    @property
    def listed_cold(self) -> NDArray[np.bool_] | None:
        """The cold items, (N,), where lists hold them, scored by their content; None where they do not."""
        cold = self.train_counts[1:] == 0
        return cold if cold[self.listed - 1].any() else None

    @property
    def most_listed(self) -> int:
        """The greatest length of a list: one less where the newest item of a history is left out."""
        return len(self.listed) - (self.scorer.skipped is not None)

    def histories(self) -> list[list[str]]:
        """The asked users' histories, by item ids."""
        ids = self.items[ITEM_ID].to_pylist()
        own = self.queries.histories
        parts = zip(own.starts.tolist(), own.ends.tolist(), strict=True)
        return [[ids[number - 1] for number in own.items[start:end].tolist()] for start, end in parts]

    def user_ids(self) -> list[str]:
        """The asked users' ids."""
        ids: list[str] = self.users[USER_ID].take(pa.array(self.queries.users)).to_pylist()
        return ids


@dataclass(frozen=True)
class ExportKind:
    """A kind of export: the program that ranks, the packages it needs, its input lines, and the writer."""

    program: str
    needs: Sequence[str]
    ask: Callable[[ExportedRun], list[Any]]
    write: Callable[[ExportedRun, Path], float | None]


def _write_histories(run: ExportedRun, folder: Path) -> float:
    """Write the user side as a graph; returns the largest difference between its two formats."""
    _write_vectors(run, folder)
    side = UserSide(run.model)
    windows = torch.zeros(2, run.model.length, dtype=torch.int64)
    windows[0, -1], windows[1] = 1, 1
    given = {"items": windows, "lengths": torch.tensor([1, run.model.length])}
    example = {name: given[name] for name in side.inputs}
    return write_graphs(side, example, side.outputs, folder / "user_side")


def _write_vectors(run: ExportedRun, folder: Path) -> None:
    scorer = run.scorer
    assert isinstance(scorer, VectorScorer)
    write_items(folder, run.items, scorer.items, scorer.bias)
    write_index(folder / "items.faiss", scorer.items, scorer.bias, run.listed)


def _write_users(run: ExportedRun, folder: Path) -> None:
    """Write a vector for every user, for a model that cannot compute one from a history (BPR-MF)."""
    _write_vectors(run, folder)
    everyone = _everyone(run.dataset)
    scorer = scorer_of(run.model, everyone)
    assert isinstance(scorer, VectorScorer)
    np.save(folder / "user_vectors.npy", scorer.encode(0, len(everyone)))
    if scorer.skipped is not None:
        np.save(folder / "user_left_out.npy", scorer.skipped(0, len(everyone)))


def _everyone(dataset: LoadedDataset) -> Queries:
    """All users with all their actions."""
    whole = dataset.histories
    return Queries(np.arange(len(whole), dtype=np.int32), whole, np.zeros(len(whole), np.int32))


def _write_neighbours(run: ExportedRun, folder: Path) -> None:
    names = ("item", "neighbour", "similarity")
    write_arrow(pa.table(dict(zip(names, run.model.pairs(), strict=True))), folder / "neighbours.arrow")
    write_arrow(run.items, folder / ITEMS_ARROW)


def _write_successors(run: ExportedRun, folder: Path) -> None:
    """Write the pairs of items with their strengths, and the weights of a history's newest items."""
    names = ("item", "successor", "strength")
    write_arrow(pa.table(dict(zip(names, run.model.pairs(), strict=True))), folder / "successors.arrow")
    np.save(folder / "place_weights.npy", run.model.weights_by_count())
    write_arrow(run.items, folder / ITEMS_ARROW)


def _write_lists(run: ExportedRun, folder: Path) -> None:
    """Write the best items of every user, for a model whose scores are no inner product of vectors."""
    write_arrow(run.items, folder / ITEMS_ARROW)
    everyone = _everyone(run.dataset)
    without = np.setdiff1d(np.arange(1, run.dataset.info.item_count + 1), run.listed)
    deep = min(LISTED_ITEMS, run.most_listed)
    scorer = scorer_of(run.model, everyone, run.listed_cold, run.cold_bonus)
    lists = recommend(everyone.histories, scorer, deep, without=without, device="cpu")
    users = np.repeat(everyone.users, deep)
    columns = {"user": users, "item": lists.items.ravel(), "score": lists.scores.ravel()}
    write_arrow(pa.table(columns), folder / "lists.arrow")


def _write_popularity(run: ExportedRun, folder: Path) -> None:
    _, counts = run.model.items()
    write_arrow(run.items.append_column(BIAS, pa.array(counts.numpy())), folder / ITEMS_ARROW)


_VECTORS = ("numpy", "pyarrow", "faiss")
KINDS = {
    "histories": ExportKind(
        "rank_histories", (*_VECTORS, "onnxruntime"), ExportedRun.histories, _write_histories
    ),
    "users": ExportKind("rank_users", _VECTORS, ExportedRun.user_ids, _write_users),
    "neighbours": ExportKind(
        "rank_neighbours", ("numpy", "pyarrow"), ExportedRun.histories, _write_neighbours
    ),
    "successors": ExportKind(
        "rank_successors", ("numpy", "pyarrow"), ExportedRun.histories, _write_successors
    ),
    "lists": ExportKind("rank_lists", ("pyarrow",), ExportedRun.user_ids, _write_lists),
    "popularity": ExportKind("rank_popular", ("pyarrow",), ExportedRun.histories, _write_popularity),
}


def kind_of(model: Recommender) -> str:
    """The kind of a model's export: for any history where that is possible, else for known users."""
    if reads_windows(model):
        return "histories"
    kinds = {ItemKNN: "neighbours", OrderKNN: "successors", PopRec: "popularity"}
    for family, kind in kinds.items():
        if isinstance(model, family):
            return kind
    return "users" if isinstance(model, VectorRecommender) else "lists"
