"""How the page shows the views: filters of the templates, charts, and the choices a reader has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ...core.settings import as_options
from ...evaluation.metrics import metric_title
from . import svg
from .curves_view import Panel
from .data_view import Bin
from .shown_runs import ShownRun
from .views import ReportViews

COLOURS = 8  # colours of runs; a ninth run has the first colour again, with another line style


def share(value: float, whole: float) -> str:
    """How much of a whole, as a length in CSS.

    >>> share(1, 3), share(5, 4)
    ('33.33%', '100.00%')
    """
    return f"{100 * max(0.0, min(1.0, value / whole if whole else 0.0)):.2f}%"


def run_style(run: int) -> str:
    """The style class of the run at a place of the report.

    >>> run_style(1), run_style(9)
    ('run-1', 'run-1 again')
    """
    return f"run-{run % COLOURS}{' again' if run >= COLOURS else ''}"


def changed_settings(run: ShownRun) -> str:
    """The settings that differ from the defaults, as one types them."""
    return as_options(run.plan.options())


FILTERS: dict[str, Callable[..., Any]] = {
    "thousands": "{:,}".format,
    "four": "{:.4f}".format,
    "signed": "{:+.4f}".format,
    "percent": "{:.1%}".format,
    "two_digits": "{:.2g}".format,
    "share": share,
    "run_style": run_style,
    "metric_title": metric_title,
    "changed_settings": changed_settings,
}


@dataclass(frozen=True)
class Charts:
    """Pictures by the view they belong to; those of curves by the title of their panel."""

    per_user: Markup
    per_item: Markup
    curves: Mapping[str, Markup]
    coverage: Markup | None
    popularity: Markup | None


def charts_of(views: ReportViews) -> Charts:
    """Draw every chart of the page."""
    panels = [*views.curves.validation, *views.curves.losses, *views.curves.geometry]
    coverage = popularity = None
    if views.comparison is not None and views.comparison.trade_offs:
        coverage = _trade_off(views, "coverage", "share of all items that are in some list")
        popularity = _trade_off(views, "popularity", "mean train actions of a listed item")
    return Charts(
        per_user=_histogram(views.data.per_user, "users"),
        per_item=_histogram(views.data.per_item, "items"),
        curves={panel.title: _curves(panel) for panel in panels},
        coverage=coverage,
        popularity=popularity,
    )


def _histogram(bins: Sequence[Bin], what: str) -> Markup:
    label = f"How many {what} have so many actions, from {bins[0].low:,} to {bins[-1].high:,}"
    bars = [svg.Bar(one.label, one.count) for one in bins]
    return svg.histogram_chart(bars, label, f"actions of {'a user' if what == 'users' else 'an item'}")


def _curves(panel: Panel) -> Markup:
    lines = [svg.Line(line.label, run_style(line.run), line.points) for line in panel.lines]
    ends = ", ".join(f"{line.label} ends at {line.points[-1][1]:.4g}" for line in panel.lines)
    return svg.line_chart(lines, f"{panel.title} over the epochs: {ends}", "epoch")


def _trade_off(views: ReportViews, which: str, x: str) -> Markup:
    assert views.comparison is not None
    found = views.comparison.trade_offs
    dots = [svg.Dot(one.label, run_style(one.run), getattr(one, which), one.accuracy) for one in found]
    title = metric_title(views.accuracy.headline[0])
    told = ", ".join(f"{dot.name} {dot.x:.4g} and {dot.y:.4f}" for dot in dots)
    return svg.scatter(dots, f"{title} against the {x}: {told}", x)


def choices_of(views: ReportViews) -> dict[str, list[tuple[str, str]]]:
    """What a reader may choose: pairs of a value and its words."""
    layouts = [] if views.map is None else views.map.layouts
    return {
        "mask": [(mask.mask, mask.title) for mask in views.accuracy.masks],
        "metric": [(name, metric_title(name)) for name in views.accuracy.headline],
        "layout": [(str(place), layout.title) for place, layout in enumerate(layouts)],
    }
