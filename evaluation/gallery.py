"""One picture of what a model recommends: histories, the next ten items, and what was really taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ..core.artifacts import atomic_path

SEEN, RECOMMENDED = 6, 10  # tiles of a person's history and of the list; both stand in two lines

_TILE = (116, 142)
_LABEL, _GAP, _COLUMN_GAP, _MARGIN = 17, 8, 40, 28
_HEADER, _CAPTION, _ROW_GAP = 92, 26, 26
_CELL = (_TILE[0] + _GAP, _TILE[1] + _LABEL + _GAP)
_TAKEN_TILE = (_TILE[0] + _CELL[0] // 2, _CELL[1] + _TILE[1])  # as high as two lines of tiles
_COLUMNS = (
    _MARGIN,
    _MARGIN + SEEN // 2 * _CELL[0] - _GAP + _COLUMN_GAP,
    _MARGIN + (SEEN // 2 + RECOMMENDED // 2) * _CELL[0] - 2 * _GAP + 2 * _COLUMN_GAP,
)
_WIDTH = _COLUMNS[2] + _TAKEN_TILE[0] + _MARGIN
_PERSON = _CAPTION + 2 * _CELL[1] + _ROW_GAP

_PAPER, _INK, _FAINT, _LINE = "#ffffff", "#1f2328", "#6e7781", "#d8dee4"
_BACKDROP, _MISSING, _HIT = "#f6f8fa", "#dfe3e8", "#1a9850"


@dataclass(frozen=True)
class Tile:
    """One item: its number, a short name, and its picture where there is one."""

    item: int
    name: str
    picture: Path | None


@dataclass(frozen=True)
class Person:
    """One line of the gallery; `history` is oldest first, `recommended` best first."""

    name: str
    history: Sequence[Tile]
    recommended: Sequence[Tile]
    taken: Tile


def draw_gallery(path: Path, title: str, model: str, people: Sequence[Person]) -> None:
    """Draw a PNG: each person's last actions, the ten items of `model`, what they really took next.

    The item really taken is outlined where it is among the ten; a missing or broken picture becomes a grey
    tile with the item's name.
    """
    image = Image.new("RGB", (_WIDTH, _HEADER + _PERSON * len(people)), _PAPER)
    canvas = _Canvas(image)
    canvas.text((_MARGIN, 20), title, 22, _INK)
    headings = ("What they took, newest last", f"What {model} recommends", "What they took next")
    for left, heading in zip(_COLUMNS, headings, strict=True):
        canvas.text((left, _HEADER - 32), heading, 16, _INK)
    for number, person in enumerate(people):
        canvas.person(_HEADER + number * _PERSON, person)
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG", optimize=True)


class _Canvas:
    def __init__(self, image: Image.Image) -> None:
        self._image = image
        self._draw = ImageDraw.Draw(image)

    def person(self, top: int, person: Person) -> None:
        """Draw one line of the gallery."""
        self._draw.line((_MARGIN, top, _WIDTH - _MARGIN, top), fill=_LINE)
        top += 6
        self.text((_MARGIN, top), person.name, 13, _FAINT, _COLUMNS[1] - _COLUMN_GAP - _MARGIN)
        listed = [tile.item for tile in person.recommended]
        found = person.taken.item in listed
        verdict = f"found at rank {listed.index(person.taken.item) + 1}" if found else "not among these"
        self.text((_COLUMNS[1], top), verdict, 13, _HIT if found else _FAINT)
        top += _CAPTION
        for place, tile in enumerate(person.history[-SEEN:]):
            self.tile(_place(_COLUMNS[0], top, place, SEEN // 2), _TILE, tile)
        for place, tile in enumerate(person.recommended[:RECOMMENDED]):
            hit = tile.item == person.taken.item
            corner = _place(_COLUMNS[1], top, place, RECOMMENDED // 2)
            self.tile(corner, _TILE, tile, hit=hit)
            self.badge(corner, place + 1, hit=hit)
        self.tile((_COLUMNS[2], top), _TAKEN_TILE, person.taken, hit=found)

    def tile(self, corner: tuple[int, int], size: tuple[int, int], tile: Tile, *, hit: bool = False) -> None:
        """Draw an item's picture with its name below; `hit` outlines it."""
        left, top = corner
        right, bottom = left + size[0], top + size[1]
        picture = _read(tile.picture, size)
        self._draw.rectangle((left, top, right, bottom), fill=_BACKDROP if picture else _MISSING)
        if picture:
            self._image.paste(
                picture, (left + (size[0] - picture.width) // 2, top + (size[1] - picture.height) // 2)
            )
            self.text((left, bottom + 4), tile.name, 11, _FAINT, size[0])
        else:
            self._draw.multiline_text(
                ((left + right) / 2, (top + bottom) / 2),
                _wrapped(tile.name, 12, size[0] - 16, lines=6),
                fill=_FAINT,
                font=_font(12),
                anchor="mm",
                align="center",
            )
        if hit:
            self._draw.rectangle((left - 3, top - 3, right + 3, bottom + 3), outline=_HIT, width=4)

    def badge(self, corner: tuple[int, int], rank: int, *, hit: bool) -> None:
        """Write a rank into a tile's corner."""
        left, top = corner
        self._draw.rectangle((left, top, left + 20, top + 17), fill=_HIT if hit else _INK)
        self._draw.text((left + 10, top + 8), str(rank), fill=_PAPER, font=_font(11), anchor="mm")

    def text(self, corner: tuple[int, int], text: str, size: int, fill: str, width: float = _WIDTH) -> None:
        """Write one line, cut where it is wider than `width`."""
        self._draw.text(corner, _cut(text, size, width), fill=fill, font=_font(size))


def _place(left: int, top: int, place: int, columns: int) -> tuple[int, int]:
    line, column = divmod(place, columns)
    return left + column * _CELL[0], top + line * _CELL[1]


def _read(path: Path | None, size: tuple[int, int]) -> Image.Image | None:
    if path is None:
        return None
    try:
        with Image.open(path) as image:
            return ImageOps.contain(image.convert("RGB"), size)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _cut(text: str, size: int, width: float) -> str:
    if _font(size).getlength(text) <= width:
        return text
    while text and _font(size).getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _wrapped(text: str, size: int, width: float, lines: int) -> str:
    wrapped: list[str] = []
    for word in text.split():
        if wrapped and _font(size).getlength(f"{wrapped[-1]} {word}") <= width:
            wrapped[-1] += f" {word}"
        else:
            wrapped.append(_cut(word, size, width))
    return "\n".join(wrapped[:lines])
