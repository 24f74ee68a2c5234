"""Everything a report shows, gathered from tables, stores, logs, ranks and models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.dataset import LoadedDataset
from ...core.progress import note
from ...core.workspace import WorkspaceFolders
from ...features.store import StoreInfo, list_stores, open_store
from ..runs.run_differences import run_differences
from .accuracy_view import AccuracyView, accuracy_view
from .comparison_view import ComparisonView, asked_alike, comparison_view
from .curves_view import CurvesView, curves_view
from .data_view import DataView, data_view
from .gate_view import WINDOWS, GateView, gate_view
from .item_names import ItemNames, colour_columns, item_names
from .map_view import MapView, VectorSource, map_view
from .model_answers import ModelAnswers, ask_model
from .settings import ReportSettings
from .shown_runs import FOCUS, Scope
from .thumbnails import Thumbnails, make_thumbnails
from .users_view import UsersView, draw_users, users_view


@dataclass(frozen=True)
class ReportViews:
    """The views in the page's order; `titles` are those of the items that users took or were shown."""

    scope: Scope
    alike: bool
    run_differences: str | None
    data: DataView
    accuracy: AccuracyView
    comparison: ComparisonView | None
    curves: CurvesView
    map: MapView | None
    gates: Sequence[GateView]
    users: UsersView
    titles: Mapping[int, str]
    pictures: Thumbnails
    wants_pictures: bool
    has_pictures: bool


def gather_views(
    workspace: WorkspaceFolders, settings: ReportSettings, scope: Scope, dataset: LoadedDataset
) -> ReportViews:
    """Gather every view. Raises ArtifactError where a run no longer fits its data or files are damaged."""
    split = dataset.split()
    counts = split.train.counts()
    curves = curves_view(scope.runs)  # first, so that a damaged log is told before the long work
    accuracy = accuracy_view(scope, dataset)
    rows = draw_users(split.test, settings.users, settings.seed)
    answers = _ask(settings, scope, dataset, rows)
    names = item_names(scope.dataset)
    users = users_view(dataset, rows, scope.runs, answers)
    sources = _sources(workspace, scope, answers)
    items = map_view(sources, counts, names, colour_columns(scope.dataset), settings.seed)
    shown = users.items()
    gates = [
        gate_view(place, run.label, answer.gate, counts)
        for place, (run, answer) in enumerate(zip(scope.runs, answers, strict=True))
        if answer.gate is not None
    ]
    return ReportViews(
        scope=scope,
        alike=asked_alike(scope.runs),
        run_differences=run_differences((run.label, run.record) for run in scope.runs),
        data=data_view(workspace, dataset),
        accuracy=accuracy,
        comparison=comparison_view(scope, accuracy.headline),
        curves=curves,
        map=items,
        gates=gates,
        users=users,
        titles={item: names.titles[item - 1] for item in shown},
        pictures=_pictures(settings, dataset, shown, items, names),
        wants_pictures=settings.pictures,
        has_pictures=any(names.pictures),
    )


def _ask(
    settings: ReportSettings, scope: Scope, dataset: LoadedDataset, rows: np.ndarray
) -> list[ModelAnswers]:
    """What each model answers for the test users in `rows`, and its gate for some more."""
    queries = dataset.split().test
    listed = queries.take(rows)
    gated = queries.take(draw_users(queries, WINDOWS, settings.seed))
    answers = []
    for run in scope.runs:
        note(f"asking {run.label} for the lists of {len(listed):,} users")
        answers.append(ask_model(run, dataset, listed, gated, settings.device))
    return answers


def _sources(
    workspace: WorkspaceFolders, scope: Scope, answers: Sequence[ModelAnswers]
) -> list[VectorSource]:
    """The vectors that the map is drawn by: learned ones of the focus or the last run, then content."""
    sources = []
    learned = [(run, a.learned) for run, a in zip(scope.runs, answers, strict=True) if a.learned is not None]
    if learned:
        of_focus = [pair for pair in learned if pair[0].plan.model == FOCUS]
        run, vectors = (of_focus or learned)[-1]
        known = np.ones(len(vectors), dtype=np.bool_)
        sources.append(VectorSource("ids", f"ids ({run.label})", vectors, known))
    for store in _content_stores(workspace, scope):
        content, present = open_store(store).item_features()
        sources.append(
            VectorSource("content", f"{store.modality} ({store.encoder})", content[1:], present[1:])
        )
    return sources


def _content_stores(workspace: WorkspaceFolders, scope: Scope) -> list[StoreInfo]:
    """The stores that the runs read, else those of the data set, one a modality."""
    read = [store for run in scope.runs for store in run.plan.stores]
    there = list_stores(workspace.features(scope.dataset.name))
    fitting = [s for s in there if s.kind == "vectors" and s.items == scope.dataset.item_count]
    return list({store.modality: store for store in [*fitting, *read]}.values())


def _pictures(
    settings: ReportSettings,
    dataset: LoadedDataset,
    shown: Sequence[int],
    items: MapView | None,
    names: ItemNames,
) -> Thumbnails:
    """Pictures of what users took and were shown, then of the map's items, the most popular first."""
    if not settings.pictures:
        return Thumbnails({}, 0, 0)
    on_map = [] if items is None else [int(item) for item in items.items]
    return make_thumbnails(Path(dataset.info.manifest["raw"]), names, [*shown, *on_map])
