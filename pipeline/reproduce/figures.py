"""The figures as SVG and PNG by matplotlib, and the maps of items by t-SNE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.artifacts import atomic_path
from ...core.dataset import load_dataset
from ...core.errors import TssrError
from ...core.float32 import full_float32
from ...core.workspace import WorkspaceFolders
from ...evaluation.geometry import MEASURES, measure_title
from ...evaluation.item_map import draw_item_map
from ...evaluation.metrics import metric_title
from ..runs.record import open_run
from ..runs.trained_model import trained_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

MAPPED = 1_000  # items on a map, as in the paper
_PANELS = 4  # beside each other; more would be too small on a page
_COLOURS = ("#3b6fb6", "#d1762f", "#4f9a5b")
_MARKERS = "os^Dvxp*"  # of lines, so that they are told apart in print


def refuse_without_matplotlib() -> None:
    """Raise TssrError where the extra is not installed."""
    try:
        import matplotlib  # noqa: F401 - looked for, not used
        import sklearn  # noqa: F401
    except ImportError:
        raise TssrError(
            "figures need matplotlib and scikit-learn; install them with: pip install 'tssr[report]'"
        ) from None


def column_title(column: str) -> str:
    """The heading of a metric, its gain, or a measure of vectors.

    >>> column_title("ndcg@10 gain"), column_title("uniformity_users_id")
    ('NDCG@10 gain', 'Uniformity of users, id stream')
    """
    if column.startswith(MEASURES):
        return measure_title(column)
    metric, space, rest = column.partition(" ")
    return metric_title(metric) + space + rest if "@" in metric else column


def draw_bars(path: Path, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """One panel for each metric and each measure of vectors, with a bar for each model that starts at 0."""
    shown = [place for place, name in enumerate(columns) if place and not name.endswith("gain")]
    lines = -(-len(shown) // _PANELS)
    figure = _figure((3.2 * min(len(shown), _PANELS), 3.2 * lines))
    names = [str(row[0]) for row in rows]
    for number, place in enumerate(shown):
        axes = figure.add_subplot(lines, min(len(shown), _PANELS), number + 1)
        heights = [float(str(row[place])) if row[place] is not None else 0.0 for row in rows]
        bars = axes.bar(range(len(rows)), heights, color=_COLOURS[0 if "@" in columns[place] else 1])
        axes.bar_label(bars, fmt="%.3g", fontsize=6, padding=1)
        axes.set_xticks(range(len(rows)), names, rotation=60, ha="right", fontsize=7)
        axes.set_title(column_title(columns[place]), fontsize=9)
        axes.margins(y=0.12)  # room for the numbers above and below the bars
    _save(figure, path, title)


def draw_lines(
    path: Path,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    points: Mapping[str, tuple[str, int]],
) -> None:
    """One panel a metric, one line a model over the percentages of train users."""
    shown = [place for place, name in enumerate(columns) if place and not name.endswith("gain")]
    figure = _figure((4.2 * len(shown), 3.6))
    models = dict.fromkeys(model for model, _ in points.values())
    for number, place in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), number + 1)
        for model, marker in zip(models, _MARKERS, strict=False):
            line = [(points[str(row[0])][1], row[place]) for row in rows if points[str(row[0])][0] == model]
            axes.plot(*zip(*line, strict=True), marker=marker, markersize=4, linewidth=1.2, label=model)
        axes.set_xticks(sorted({percentage for _, percentage in points.values()}))
        axes.set_xlabel("% of train users", fontsize=8)
        axes.set_title(column_title(columns[place]), fontsize=9)
        axes.legend(fontsize=7)
    _save(figure, path, title)


def draw_maps(
    workspace: WorkspaceFolders, path: Path, title: str, runs: Mapping[str, str], *, joined: bool
) -> None:
    """A map of the same 1,000 items for each run; `joined` lays all streams of one model out together."""
    figure = _figure((4.2 * len(runs), 4.4))
    for number, (model, run) in enumerate(runs.items()):
        axes = figure.add_subplot(1, len(runs), number + 1)
        views = _item_views(workspace, run)
        if not joined:
            views = dict([next(iter(views.items()))])
        places = draw_item_map(np.concatenate(list(views.values()))).places
        parts = np.split(places, len(views))
        for colour, name, part in zip(_COLOURS, views, parts, strict=False):
            axes.scatter(part[:, 0], part[:, 1], s=4, color=colour, label=name, linewidths=0)
        axes.set_title(model, fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
        if len(views) > 1:
            axes.legend(fontsize=7, loc="lower right")
    _save(figure, path, title)


@full_float32()
def _item_views(workspace: WorkspaceFolders, run: str) -> dict[str, NDArray[np.float32]]:
    """Each stream's vectors of the same items, drawn with one seed from those with a train action."""
    import torch

    folder = workspace.choose_run(run)
    plan = open_run(workspace, folder)
    dataset = load_dataset(plan.dataset)
    taken = np.flatnonzero(~dataset.split().cold_items()) + 1
    chosen = np.random.default_rng(1).choice(taken, min(MAPPED, len(taken)), replace=False)
    model: Any = trained_model(folder, plan, dataset, "cpu")
    with torch.inference_mode():
        views = model.item_views(torch.from_numpy(np.sort(chosen)))
        return {name: view.float().numpy() for name, view in views.items()}


def _figure(size: tuple[float, float]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path, title: str) -> None:
    from matplotlib import rc_context

    figure.suptitle(title, fontsize=10)
    for ending in ("svg", "png"):
        # A fixed salt and no date: the same numbers give the same file.
        with (
            rc_context({"svg.hashsalt": "tssr"}),
            atomic_path(path.with_name(f"{path.name}.{ending}")) as temporary,
        ):
            metadata = {"Date": None} if ending == "svg" else {}
            figure.savefig(temporary, format=ending, dpi=160, metadata=metadata)
