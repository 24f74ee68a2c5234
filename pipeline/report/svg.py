"""Charts as SVG: histograms, curves and a scatter plot that need no script to be read.

A chart is drawn in a box of WIDTH x HEIGHT units and scaled by the page. Colours come from the page's style
(classes run-0, run-1, …, and kind-0, …), so that one drawing serves light, dark and print. The values of a
point are in its attribute `data-tip`, which the page shows as a tooltip, and in the table beside each chart.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 340, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 14, 34  # room for the axes

Scale = Callable[[float], float]


@dataclass(frozen=True)
class Line:
    """A curve: its name, its style class, and its points (x, y)."""

    name: str
    style: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Dot:
    """A labelled point."""

    name: str
    style: str
    x: float
    y: float


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram."""

    label: str
    count: int


def _tag(name: str, content: object = "", **attributes: object) -> Markup:
    """An element; attribute names take a dash for an underscore, and a trailing one is dropped (class_)."""
    parts = [f'{key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items()]
    return Markup(f"<{' '.join([name, *parts])}>{escape(content)}</{name}>")


def _joined(parts: Sequence[Markup]) -> Markup:
    return Markup("").join(parts)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers that span low…high.

    >>> ticks(0, 0.17), ticks(0, 20)
    ([0.0, 0.05, 0.1, 0.15], [0.0, 5.0, 10.0, 15.0, 20.0])
    """
    if high <= low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(place * step, 12) + 0.0 for place in range(first, last + 1)]


def _number(value: float) -> str:
    """A number on an axis.

    >>> _number(0.15), _number(1500.0), _number(20.0)
    ('0.15', '1,500', '20')
    """
    return f"{value:,.0f}" if value == int(value) else f"{value:.6g}"


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    span = high - low or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _frame(x_ticks: Sequence[tuple[float, str]], y_ticks: Sequence[tuple[float, str]], x: str) -> Markup:
    """Grid lines, tick labels and the title of the x axis; ticks are (place, text)."""
    floor = HEIGHT - _BOTTOM
    grid = [
        _tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=round(y, 1), y2=round(y, 1), class_="grid")
        for y, _ in y_ticks
    ]
    left = [
        _tag("text", text, x=_LEFT - 6, y=round(y + 3.5, 1), text_anchor="end", class_="tick")
        for y, text in y_ticks
    ]
    below = [
        _tag("text", text, x=round(place, 1), y=floor + 15, text_anchor="middle", class_="tick")
        for place, text in x_ticks
    ]
    title = _tag("text", x, x=(_LEFT + WIDTH - _RIGHT) / 2, y=HEIGHT - 4, text_anchor="middle", class_="axis")
    return _joined([*grid, *left, *below, title])


def _svg(label: str, content: Markup) -> Markup:
    return _tag("svg", content, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label, class_="chart")


def histogram_chart(bars: Sequence[Bar], label: str, x: str) -> Markup:
    """Bars side by side; `label` says in words what the picture shows."""
    top = max([bar.count for bar in bars] + [1])
    up = _scale(0, top, HEIGHT - _BOTTOM, _TOP)
    width = (WIDTH - _LEFT - _RIGHT) / max(1, len(bars))
    drawn = [
        _tag(
            "rect",
            x=round(_LEFT + place * width + 0.6, 1),
            y=round(up(bar.count), 1),
            width=round(max(0.5, width - 1.2), 1),
            height=round(HEIGHT - _BOTTOM - up(bar.count), 1),
            class_="bar",
            data_tip=f"{bar.label}: {bar.count:,}",
        )
        for place, bar in enumerate(bars)
    ]
    every = max(1, math.ceil(len(bars) / 6))
    x_ticks = [
        (_LEFT + (place + 0.5) * width, bar.label.partition("\N{EN DASH}")[0])
        for place, bar in enumerate(bars)
        if place % every == 0
    ]
    y_ticks = [(up(value), _number(value)) for value in ticks(0, top)]
    return _svg(label, _joined([_frame(x_ticks, y_ticks, x), *drawn]))


def line_chart(lines: Sequence[Line], label: str, x: str, mark: float | None = None) -> Markup:
    """Curves over a common axis; `mark` is an x that a dashed line stands at."""
    xs = [px for line in lines for px, _ in line.points]
    ys = [py for line in lines for _, py in line.points]
    low, high = min([0.0, *xs]), max([*xs, 1e-9])
    bottom, top = min(ys), max(ys)
    room = (top - bottom or abs(top) or 1) * 0.06
    bottom = 0.0 if 0 <= bottom < 0.4 * top else bottom - room
    across = _scale(low, high, _LEFT, WIDTH - _RIGHT)
    up = _scale(bottom, top + room, HEIGHT - _BOTTOM, _TOP)
    drawn = []
    if mark is not None:
        at = round(across(mark), 1)
        drawn.append(_tag("line", x1=at, x2=at, y1=_TOP, y2=HEIGHT - _BOTTOM, class_="mark"))
    for line in lines:
        path = " ".join(f"{across(px):.1f},{up(py):.1f}" for px, py in line.points)
        drawn.append(_tag("polyline", points=path, class_=f"line {line.style}"))
        drawn += [
            _tag(
                "circle",
                cx=round(across(px), 1),
                cy=round(up(py), 1),
                r=2.6,
                class_=f"point {line.style}",
                data_tip=f"{line.name}, {x} {_number(round(px, 2))}: {py:.4g}",
            )
            for px, py in line.points
        ]
    x_ticks = [(across(value), _number(value)) for value in ticks(low, high, 5)]
    y_ticks = [(up(value), _number(value)) for value in ticks(bottom, top + room)]
    return _svg(label, _joined([_frame(x_ticks, y_ticks, x), *drawn]))


def scatter(dots: Sequence[Dot], label: str, x: str) -> Markup:
    """Labelled points; both axes begin a little outside of them."""
    across, x_ticks = _padded([dot.x for dot in dots], _LEFT, WIDTH - _RIGHT)
    up, y_ticks = _padded([dot.y for dot in dots], HEIGHT - _BOTTOM, _TOP)
    drawn = []
    for dot in dots:
        tip = f"{dot.name}: {x} {dot.x:,.4g}, {dot.y:.4f}"
        at = {"cx": round(across(dot.x), 1), "cy": round(up(dot.y), 1)}
        drawn.append(_tag("circle", r=6, class_=f"dot {dot.style}", data_tip=tip, **at))
    places = [(across(dot.x), up(dot.y)) for dot in dots]
    for dot, (cx, cy), name_y in zip(dots, places, _apart([cy for _, cy in places]), strict=True):
        right = cx < WIDTH * 0.62
        name_x = cx + (14 if right else -14)
        ends = {"x1": round(cx, 1), "y1": round(cy, 1), "x2": round(name_x, 1), "y2": round(name_y, 1)}
        if abs(name_y - cy) > 1:
            drawn.insert(0, _tag("line", class_="leader", **ends))
        anchor = "start" if right else "end"
        shift = 2 if right else -2
        at = {"x": round(name_x + shift, 1), "y": round(name_y + 4, 1)}
        drawn.append(_tag("text", dot.name, text_anchor=anchor, class_="name", **at))
    return _svg(label, _joined([_frame(x_ticks, y_ticks, x), *drawn]))


def _apart(heights: Sequence[float], least: float = 14.0) -> list[float]:
    """Heights moved so that no two are nearer than `least`, in the same order: names that do not overlap.

    >>> _apart([50, 100, 101])
    [50, 93.5, 107.5]
    """
    moved = list(heights)
    order = sorted(range(len(moved)), key=moved.__getitem__)
    for _ in range(len(moved)):
        for above, below in itertools.pairwise(order):
            short = least - (moved[below] - moved[above])
            if short > 0:
                moved[above] -= short / 2
                moved[below] += short / 2
    return moved


def _padded(values: Sequence[float], start: float, end: float) -> tuple[Scale, list[tuple[float, str]]]:
    """A scale with room around the values, and its ticks."""
    low, high = min(values), max(values)
    room = (high - low or abs(high) or 1) * 0.15
    low, high = max(0.0, low - room) if low >= 0 else low - room, high + room
    scale = _scale(low, high, start, end)
    return scale, [(scale(value), _number(value)) for value in ticks(low, high)]
