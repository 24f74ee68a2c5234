"""What a silhouette is made of: parts laid over one another, and strokes for seams and straps.

Coordinates: x from -50 to 50 with 0 in the middle, y from 0 (top) to 125. A point may carry a third number,
the radius by which its corner is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

Corner = tuple[float, ...]  # (x, y) or (x, y, radius)
Point = tuple[float, float]

FABRIC, TRIM, LINING, SEAM, SOLE, METAL = "fabric", "trim", "lining", "seam", "sole", "metal"
ROUNDING = 1.5


class Piece(NamedTuple):
    """A closed outline cut from one material."""

    outline: list[Point]
    material: str = FABRIC


class Stroke(NamedTuple):
    """A line of some width: a seam, or a strap of a material."""

    points: list[Point]
    width: float = 0.5
    material: str = SEAM


Figure = list[Piece | Stroke]


class Cut(NamedTuple):
    """What a product decides about its outline: width and length factors and its details' phrases."""

    width: float
    length: float
    details: tuple[str, ...]

    def has(self, detail: str) -> bool:
        """Whether the product's description lists this detail."""
        return detail in self.details


def rounded(corners: Sequence[Corner]) -> list[Point]:
    """A closed polygon with its corners rounded by quadratic curves."""
    points: list[Point] = []
    for index, corner in enumerate(corners):
        x, y = corner[0], corner[1]
        radius = corner[2] if len(corner) > 2 else ROUNDING
        ends = []
        for other in (corners[index - 1], corners[(index + 1) % len(corners)]):
            distance = math.hypot(other[0] - x, other[1] - y) or 1.0
            step = min(radius, distance / 2) / distance
            ends.append((x + (other[0] - x) * step, y + (other[1] - y) * step))
        for t in (0.0, 0.25, 0.5, 0.75, 1.0):
            a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
            points.append((a * ends[0][0] + b * x + c * ends[1][0], a * ends[0][1] + b * y + c * ends[1][1]))
    return points


def mirrored(half: Sequence[Corner]) -> list[Point]:
    """A symmetric outline from its right half, given from the top middle to the bottom middle."""
    left = [(-corner[0], *corner[1:]) for corner in reversed(half) if corner[0] > 0]
    return rounded([*half, *left])


def both(part: Sequence[Corner], material: str = FABRIC) -> list[Piece]:
    """A part and its mirror image."""
    return [Piece(rounded([(side * p[0], *p[1:]) for p in part]), material) for side in (1, -1)]


def disc(x: float, y: float, radius: float, material: str) -> Piece:
    """A round part."""
    angles = [index * math.pi / 8 for index in range(16)]
    return Piece([(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles], material)


def box(x0: float, y0: float, x1: float, y1: float, material: str = FABRIC) -> Piece:
    """A part with four corners."""
    return Piece(rounded([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), material)


def ribs(x0: float, x1: float, y0: float, y1: float) -> list[Stroke]:
    """Upright lines that fill a box, as in a knitted cuff."""
    count = max(2, int((x1 - x0) / 2.4))
    xs = [x0 + (x1 - x0) * (index + 0.5) / count for index in range(count)]
    return [Stroke([(x, y0), (x, y1)], 0.35) for x in xs]


def placed(figure: Figure, dx: float, dy: float, scale: float = 1.0) -> Figure:
    """The figure, scaled about the origin and then shifted."""

    def move(points: list[Point]) -> list[Point]:
        return [(x * scale + dx, y * scale + dy) for x, y in points]

    return [
        Piece(move(element.outline), element.material)
        if isinstance(element, Piece)
        else Stroke(move(element.points), element.width * scale, element.material)
        for element in figure
    ]


def both_strokes(points: list[Point], width: float, material: str = SEAM) -> list[Stroke]:
    """A stroke and its mirror image."""
    return [Stroke([(side * x, y) for x, y in points], width, material) for side in (1, -1)]


def arch(x: float, foot: float, top: float, width: float, material: str) -> Stroke:
    """Half an ellipse from (-x, foot) over (0, top) to (x, foot): a handle or a strap."""
    angles = [math.pi * index / 20 for index in range(21)]
    points = [(-x * math.cos(a), foot - (foot - top) * math.sin(a)) for a in angles]
    return Stroke(points, width, material)
