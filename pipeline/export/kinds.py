"""What each kind of model leaves: its files, the program that ranks from them, and what that is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from ...core.dataset import Dataset, Int64, Queries
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
LISTED_ITEMS = 100  # of each user, where lists are what is exported


@dataclass(frozen=True)
class Source:
    """The run that is exported: its model, the users whose lists are checked, the items lists may hold."""

    plan: RunPlan
    dataset: Dataset
    model: Any  # of one of the families that `kind_of` knows
    queries: Queries
    scorer: Scorer
    listed: Int64  # numbers of items, (K,)
    items: pa.Table
    users: pa.Table

    @property
    def train_counts(self) -> Int64:
        """How often each item was taken in training, (N + 1,)."""
        return self.plan.split(self.dataset).train.counts()

    @property
    def most_listed(self) -> int:
        """How long a list can be: the newest item of a history may be no candidate."""
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
class Kind:
    """One way in which models leave: the program that ranks, what it needs, what it is asked, who writes."""

    program: str
    needs: Sequence[str]
    ask: Callable[[Source], list[Any]]
    write: Callable[[Source, Path], float | None]


def _write_histories(source: Source, folder: Path) -> float:
    """The user side as a graph; returns how far its two formats are apart."""
    _write_vectors(source, folder)
    side = UserSide(source.model)
    windows = torch.zeros(2, source.model.length, dtype=torch.int64)
    windows[0, -1], windows[1] = 1, 1
    given = {"items": windows, "lengths": torch.tensor([1, source.model.length])}
    example = {name: given[name] for name in side.inputs}
    return write_graphs(side, example, side.outputs, folder / "user_side")


def _write_vectors(source: Source, folder: Path) -> None:
    scorer = source.scorer
    assert isinstance(scorer, VectorScorer)
    write_items(folder, source.items, scorer.items, scorer.bias)
    write_index(folder / "items.faiss", scorer.items, scorer.bias, source.listed)


def _write_users(source: Source, folder: Path) -> None:
    """A vector for every user: the model has nothing that would turn a history into one."""
    _write_vectors(source, folder)
    everyone = _everyone(source.dataset)
    scorer = scorer_of(source.model, everyone)
    assert isinstance(scorer, VectorScorer)
    np.save(folder / "user_vectors.npy", scorer.encode(0, len(everyone)))
    if scorer.skipped is not None:
        np.save(folder / "user_left_out.npy", scorer.skipped(0, len(everyone)))


def _everyone(dataset: Dataset) -> Queries:
    """All users with all their actions."""
    whole = dataset.histories
    return Queries(np.arange(len(whole), dtype=np.int32), whole, np.zeros(len(whole), np.int32))


def _write_neighbours(source: Source, folder: Path) -> None:
    names = ("item", "neighbour", "similarity")
    write_arrow(pa.table(dict(zip(names, source.model.pairs(), strict=True))), folder / "neighbours.arrow")
    write_arrow(source.items, folder / ITEMS_ARROW)


def _write_successors(source: Source, folder: Path) -> None:
    """What leads to what, and how much each of a history's newest items counts."""
    names = ("item", "successor", "strength")
    write_arrow(pa.table(dict(zip(names, source.model.pairs(), strict=True))), folder / "successors.arrow")
    np.save(folder / "place_weights.npy", source.model.weights_by_count())
    write_arrow(source.items, folder / ITEMS_ARROW)


def _write_lists(source: Source, folder: Path) -> None:
    """The best items of every user, ranked here: nothing smaller gives the model's scores."""
    write_arrow(source.items, folder / ITEMS_ARROW)
    everyone = _everyone(source.dataset)
    without = np.setdiff1d(np.arange(1, source.dataset.info.item_count + 1), source.listed)
    deep = min(LISTED_ITEMS, source.most_listed)
    scorer = scorer_of(source.model, everyone)
    lists = recommend(everyone.histories, scorer, deep, without=without, device="cpu")
    users = np.repeat(everyone.users, deep)
    columns = {"user": users, "item": lists.items.ravel(), "score": lists.scores.ravel()}
    write_arrow(pa.table(columns), folder / "lists.arrow")


def _write_popularity(source: Source, folder: Path) -> None:
    _, counts = source.model.items()
    write_arrow(source.items.append_column(BIAS, pa.array(counts.numpy())), folder / ITEMS_ARROW)


_VECTORS = ("numpy", "pyarrow", "faiss")
KINDS = {
    "histories": Kind("rank_histories", (*_VECTORS, "onnxruntime"), Source.histories, _write_histories),
    "users": Kind("rank_users", _VECTORS, Source.user_ids, _write_users),
    "neighbours": Kind("rank_neighbours", ("numpy", "pyarrow"), Source.histories, _write_neighbours),
    "successors": Kind("rank_successors", ("numpy", "pyarrow"), Source.histories, _write_successors),
    "lists": Kind("rank_lists", ("pyarrow",), Source.user_ids, _write_lists),
    "popularity": Kind("rank_popular", ("pyarrow",), Source.histories, _write_popularity),
}


def kind_of(model: Recommender) -> str:
    """How a model leaves: as what gives its scores to anyone, else to the users that there are."""
    if reads_windows(model):
        return "histories"
    kinds = {ItemKNN: "neighbours", OrderKNN: "successors", PopRec: "popularity"}
    for family, kind in kinds.items():
        if isinstance(model, family):
            return kind
    return "users" if isinstance(model, VectorRecommender) else "lists"
