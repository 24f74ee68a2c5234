"""A trained run as files that rank without tssr: what each kind of model leaves, and the check of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from ...core.artifacts import atomic_folder, sha256_file, write_json
from ...core.dataset import Dataset, Int64, Queries, load_dataset
from ...core.errors import UsageError
from ...core.progress import note
from ...core.schema import ITEM_ID, USER_ID
from ...core.summary import Summary
from ...core.workspace import Workspace
from ...evaluation.scoring import VectorScorer
from ...model.bpr import BPRMF
from ...model.itemknn import ItemKNN
from ...model.poprec import PopRec
from ...model.recommender import SequenceRecommender
from ...model.user_side import UserSide
from ..runs.evaluate import trained_model
from ..runs.plan import RunPlan
from ..runs.record import open_run
from ..runs.scorer import scorer_of
from .card import Exported, write_card
from .graphs import require_onnx, write_graphs
from .proof import prove, some_users
from .settings import ExportSettings
from .tables import BIAS, item_table, user_table, write_arrow, write_index, write_items

if TYPE_CHECKING:
    from ...evaluation.scoring import Scorer
    from ...model.recommender import Recommender

ITEMS_ARROW = "items.arrow"


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
    windows = torch.zeros(2, source.model.length, dtype=torch.int64)
    windows[0, -1], windows[1] = 1, 1
    return write_graphs(UserSide(source.model), {"items": windows}, ["states"], folder / "user_side")


def _write_vectors(source: Source, folder: Path) -> None:
    scorer = source.scorer
    assert isinstance(scorer, VectorScorer)
    write_items(folder, source.items, scorer.items, scorer.bias)
    write_index(folder / "items.faiss", scorer.items, scorer.bias, source.listed)


def _write_users(source: Source, folder: Path) -> None:
    """A vector for every user: the model has nothing that would turn a history into one."""
    _write_vectors(source, folder)
    whole = source.dataset.histories
    everyone = Queries(np.arange(len(whole), dtype=np.int32), whole, np.zeros(len(whole), np.int32))
    scorer = scorer_of(source.model, everyone)
    assert isinstance(scorer, VectorScorer)
    np.save(folder / "user_vectors.npy", scorer.encode(0, len(whole)))


def _write_neighbours(source: Source, folder: Path) -> None:
    names = ("item", "neighbour", "similarity")
    write_arrow(pa.table(dict(zip(names, source.model.pairs(), strict=True))), folder / "neighbours.arrow")
    write_arrow(source.items, folder / ITEMS_ARROW)


def _write_popularity(source: Source, folder: Path) -> None:
    _, counts = source.model.items()
    write_arrow(source.items.append_column(BIAS, pa.array(counts.numpy())), folder / ITEMS_ARROW)


_VECTORS = ("numpy", "pyarrow", "faiss")
KINDS = {
    "histories": Kind("rank_histories", (*_VECTORS, "onnxruntime"), Source.histories, _write_histories),
    "users": Kind("rank_users", _VECTORS, Source.user_ids, _write_users),
    "neighbours": Kind("rank_neighbours", ("numpy", "pyarrow"), Source.histories, _write_neighbours),
    "popularity": Kind("rank_popular", ("pyarrow",), Source.histories, _write_popularity),
}


def kind_of(model: Recommender, run: str) -> str:
    """How a model leaves; raises UsageError for one that cannot."""
    kinds = {SequenceRecommender: "histories", BPRMF: "users", ItemKNN: "neighbours", PopRec: "popularity"}
    for family, kind in kinds.items():
        if isinstance(model, family):
            return kind
    raise UsageError(
        f"--run {run}: {type(model).__name__} has neither a graph nor lists that could leave tssr; export a "
        "run of a sequence model, or write its lists with tssr recommend --output FILE"
    )


def export_run(workspace: Workspace, folder: Path, settings: ExportSettings) -> Summary:
    """Write the run of `settings` into `folder` and check that its files give the lists that tssr gives.

    Raises UsageError for a run that cannot be exported, ArtifactError where the check fails.
    """
    require_onnx()
    run = workspace.choose_run(settings.run)
    plan = open_run(workspace, run)
    source = _source(run, plan, settings)
    name = kind_of(source.model, run.name)
    kind = KINDS[name]
    with atomic_folder(folder) as temporary:
        note(f"exporting {run.name} as {name}")
        shutil.copy(Path(__file__).parent / "standalone" / f"{kind.program}.py", temporary / "rank.py")
        graphs = kind.write(source, temporary)
        write_arrow(source.users, temporary / "users.arrow")
        asked = kind.ask(source)
        note(f"checking the lists of {len(asked):,} users")
        ids = source.items[ITEM_ID].to_pylist()
        proof = prove(temporary, asked, source.queries, source.scorer, source.listed, ids)
        length, cold = source.model.length, source.dataset.info.item_count - len(source.listed)
        exported = Exported(name, length, len(source.listed), cold, proof, graphs)
        data = _record(run, plan, exported)
        write_json(temporary / "export.json", data)
        write_card(temporary, run, plan, exported, kind.needs)
        files = _write_checksums(temporary)
    return _summary(folder, plan, exported, {**data, "folder": str(folder), "files": files})


def _source(run: Path, plan: RunPlan, settings: ExportSettings) -> Source:
    dataset = load_dataset(plan.dataset)
    model = trained_model(run, plan, dataset, "cpu")
    queries = some_users(dataset)
    cold = plan.split(dataset).cold_items()
    scorer = scorer_of(model, queries, cold if settings.cold_items else None)
    everything = np.arange(1, plan.dataset.item_count + 1)
    listed = everything if settings.cold_items else np.flatnonzero(~cold) + 1
    items, users = item_table(plan.dataset, listed), user_table(plan.dataset)
    return Source(plan, dataset, model, queries, scorer, listed, items, users)


def _record(run: Path, plan: RunPlan, exported: Exported) -> dict[str, Any]:
    return {
        "stage": "export",
        "to": "serving",
        "run": run.name,
        **plan.record(),
        "kind": exported.kind,
        "length": exported.length,
        "listed_items": exported.listed,
        "check": exported.proof.record() | {"share": exported.proof.share},
        "graphs_differ_by": exported.graphs,
        "limits": exported.limits(),
    }


def _write_checksums(folder: Path) -> dict[str, int]:
    """Write SHA256SUMS; returns the size of every file in bytes, by name."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    lines = [f"{sha256_file(path)}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    return {path.name: path.stat().st_size for path in files}


def _summary(folder: Path, plan: RunPlan, exported: Exported, data: dict[str, Any]) -> Summary:
    rows = [(name, f"{size:,}") for name, size in data["files"].items()]
    notes = [exported.proof.describe(), *exported.limits(), f"files: {folder}"]
    return Summary(f"Exported {plan.title} on {plan.dataset.name}", rows, data, ("file", "bytes"), notes)
