"""Draws an article: its silhouette cut from patterned cloth, with light, folds and a shadow.

Drawn at three times the size and reduced, so that edges are smooth; light and shadow are added at the final
size, where blurring is cheap.
"""

from __future__ import annotations

import math
import random

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from .articles import Article
from .geometry import FABRIC, LINING, METAL, SEAM, SOLE, TRIM, Cut, Figure, Point, Stroke
from .looks import BLOCK, CHECK, DOT, FLORAL, STRIPE, Pattern, Rgb
from .silhouettes import SILHOUETTES

WIDTH, HEIGHT = 128, 160  # pixels
SCALE = 3
UNIT = WIDTH / 100 * SCALE  # drawing pixels per unit of the silhouettes
LARGE = (WIDTH * SCALE, HEIGHT * SCALE)

_BACKGROUNDS: tuple[Rgb, ...] = (
    (240, 239, 236), (232, 234, 237), (244, 238, 231), (229, 231, 226), (238, 233, 238), (226, 226, 226),
)  # fmt: skip
_ON_LIGHT: tuple[Rgb, ...] = ((30, 34, 60), (150, 30, 45), (40, 84, 62), (60, 60, 64), (120, 70, 40))
_ON_DARK: tuple[Rgb, ...] = ((248, 247, 242), (248, 240, 214), (236, 214, 120), (206, 220, 236))


def draw(article: Article, rng: random.Random) -> Image.Image:
    """The article's picture, `rng` decides what differs between two pictures of one look."""
    cut = Cut(*article.proportions, article.details)
    figure = SILHOUETTES[article.kind.name](cut)
    base = _mix(article.colour.rgb, rng.choice(((255, 255, 255), (0, 0, 0))), rng.uniform(0, 0.05))
    fabric = _fabric(article.pattern, base, rng)
    flat, mask = _lay(figure, fabric, _materials(base), _placement(rng))
    return _light(flat.reduce(SCALE), mask.reduce(SCALE), rng)


def _mix(a: Rgb, b: Rgb, share: float) -> Rgb:
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _materials(base: Rgb) -> dict[str, Rgb]:
    """The plain colours that go with a fabric whose ground colour is `base`."""
    contrast = (255, 255, 255) if sum(base) < 240 else (0, 0, 0)
    return {
        TRIM: _mix(base, contrast, 0.16),
        LINING: _mix(base, (0, 0, 0), 0.55),
        SEAM: _mix(base, contrast, 0.3),
        SOLE: (236, 234, 228) if sum(base) < 690 else (178, 178, 180),
        METAL: (196, 176, 120),
    }


def _fabric(pattern: Pattern, base: Rgb, rng: random.Random) -> Image.Image:
    """The whole canvas as cloth: the ground colour `base`, its pattern in a contrasting colour."""
    accent = rng.choice(_ON_LIGHT if sum(base) > 480 else _ON_DARK)
    fabric = Image.new("RGB", LARGE, base)
    pen = ImageDraw.Draw(fabric)
    size = rng.uniform(0.8, 1.25)
    if pattern == STRIPE:
        _stripes(pen, accent, 7 * size, rng.uniform(0.3, 0.5), upright=rng.random() < 0.35)
    elif pattern == CHECK:
        _checks(pen, base, accent, 11 * size)
    elif pattern == DOT:
        _dots(pen, accent, 7.5 * size, rng.uniform(0.22, 0.3))
    elif pattern == FLORAL:
        _flowers(pen, base, accent, 13 * size, rng)
    elif pattern == BLOCK:
        level, slope = rng.uniform(0.42, 0.56) * LARGE[1], rng.choice((0.0, 0.0, 0.25)) * LARGE[0]
        pen.polygon([(0, level + slope), (LARGE[0], level - slope), LARGE, (0, LARGE[1])], fill=accent)
    return fabric


def _stripes(pen: ImageDraw.ImageDraw, accent: Rgb, step: float, share: float, *, upright: bool) -> None:
    width, height = LARGE
    pitch = step * UNIT
    for index in range(int((width if upright else height) / pitch) + 1):
        start, end = index * pitch, index * pitch + pitch * share
        pen.rectangle((start, 0, end, height) if upright else (0, start, width, end), fill=accent)


def _checks(pen: ImageDraw.ImageDraw, base: Rgb, accent: Rgb, step: float) -> None:
    width, height = LARGE
    pitch = step * UNIT
    half = _mix(base, accent, 0.5)
    lines = [index * pitch for index in range(int(height / pitch) + 1)]
    for start in lines:
        pen.rectangle((start, 0, start + pitch / 2, height), fill=half)
    for start in lines:
        pen.rectangle((0, start, width, start + pitch / 2), fill=half)
        for left in lines:
            pen.rectangle((left, start, left + pitch / 2, start + pitch / 2), fill=accent)


def _dots(pen: ImageDraw.ImageDraw, accent: Rgb, step: float, share: float) -> None:
    pitch, radius = step * UNIT, step * UNIT * share
    for row in range(int(LARGE[1] / pitch * 1.2) + 1):
        for column in range(int(LARGE[0] / pitch) + 2):
            x, y = (column + (row % 2) / 2) * pitch, row * pitch * 0.87
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=accent)


def _flowers(pen: ImageDraw.ImageDraw, base: Rgb, accent: Rgb, step: float, rng: random.Random) -> None:
    """Five petals around a heart, leaves between, each a little displaced."""
    pitch = step * UNIT
    leaf = _mix(base, (60, 130, 70), 0.75)
    second = _mix(accent, (236, 96, 120), 0.5)
    for row in range(int(LARGE[1] / pitch * 1.2) + 2):
        for column in range(int(LARGE[0] / pitch) + 2):
            x = (column + (row % 2) / 2 + rng.uniform(-0.12, 0.12)) * pitch
            y = (row + rng.uniform(-0.12, 0.12)) * pitch * 0.87
            turn, petal = rng.uniform(0, math.tau), pitch * rng.uniform(0.12, 0.17)
            colour = accent if rng.random() < 0.6 else second
            angle = turn + 0.6
            far = pitch * 0.42
            pen.line(
                (x, y, x + far * math.cos(angle), y + far * math.sin(angle)),
                fill=leaf,
                width=round(petal * 0.7),
            )
            for index in range(5):
                angle = turn + index * math.tau / 5
                px, py = x + petal * 1.25 * math.cos(angle), y + petal * 1.25 * math.sin(angle)
                pen.ellipse((px - petal, py - petal, px + petal, py + petal), fill=colour)
            heart = petal * 0.7
            pen.ellipse((x - heart, y - heart, x + heart, y + heart), fill=(240, 196, 70))


def _placement(rng: random.Random) -> tuple[float, float, float, float]:
    """Angle (radians), scale and shift (units) of the figure on the canvas."""
    return (
        math.radians(rng.uniform(-4, 4)),
        rng.uniform(0.93, 1.03),
        rng.uniform(-2, 2),
        rng.uniform(-2.5, 2.5),
    )


def _lay(
    figure: Figure, fabric: Image.Image, plain: dict[str, Rgb], placement: tuple[float, float, float, float]
) -> tuple[Image.Image, Image.Image]:
    """Lay the parts over one another; returns the flat picture and the mask of what they cover."""
    angle, scale, shift_x, shift_y = placement
    cos, sin = math.cos(angle) * scale * UNIT, math.sin(angle) * scale * UNIT

    def place(points: list[Point]) -> list[Point]:
        return [
            (
                x * cos - (y - 62) * sin + (50 + shift_x) * UNIT,
                x * sin + (y - 62) * cos + (62.5 + shift_y) * UNIT,
            )
            for x, y in points
        ]

    flat, covered = Image.new("RGB", LARGE), Image.new("L", LARGE)
    pen, cover = ImageDraw.Draw(flat), ImageDraw.Draw(covered)
    for element in figure:
        if isinstance(element, Stroke):
            points, width = place(element.points), max(2, round(element.width * UNIT))
            pen.line(points, fill=plain[element.material], width=width, joint="curve")
            cover.line(points, fill=255, width=width, joint="curve")
            continue
        points = place(element.outline)
        cover.polygon(points, fill=255)
        if element.material == FABRIC:
            mask = Image.new("L", LARGE)
            ImageDraw.Draw(mask).polygon(points, fill=255)
            flat.paste(fabric, mask=mask)
        else:
            pen.polygon(points, fill=plain[element.material])
        pen.line([*points, points[0]], fill=plain[SEAM], width=SCALE, joint="curve")
    return flat, covered


def _light(flat: Image.Image, mask: Image.Image, rng: random.Random) -> Image.Image:
    """Add light from one side, folds, rounded edges, a background and a shadow on it."""
    size = (WIDTH, HEIGHT)
    edges = mask.filter(ImageFilter.GaussianBlur(5)).point(lambda value: 150 + value * 105 // 255)
    folds = Image.new("L", size, 255)
    pen = ImageDraw.Draw(folds)
    for _ in range(rng.randint(3, 5)):
        x, y, length = rng.uniform(30, 98), rng.uniform(35, 90), rng.uniform(25, 60)
        pen.line((x, y, x + rng.uniform(-10, 10), y + length), fill=rng.randint(205, 225), width=4)
    side = Image.linear_gradient("L").rotate(90 if rng.random() < 0.5 else 270).resize(size)
    side = side.point(lambda value: 225 + value * 30 // 255)
    light = ImageChops.multiply(ImageChops.multiply(edges, folds.filter(ImageFilter.GaussianBlur(3))), side)
    garment = ImageChops.multiply(flat, Image.merge("RGB", (light, light, light)))

    tone = rng.choice(_BACKGROUNDS)
    fall = Image.linear_gradient("L").resize(size).point(lambda value: 255 - value * 22 // 255)
    scene = ImageChops.multiply(Image.new("RGB", size, tone), Image.merge("RGB", (fall, fall, fall)))
    shadow = (
        ImageChops.offset(mask, 3, 4)
        .filter(ImageFilter.GaussianBlur(5))
        .point(lambda value: value * 70 // 255)
    )
    scene.paste((70, 70, 78), mask=shadow)
    scene.paste(garment, mask=mask)
    return scene
