"""How an article can look: colour families in three shades, and patterns, with H&M's own names and codes."""

from __future__ import annotations

from typing import NamedTuple

Rgb = tuple[int, int, int]


class Shade(NamedTuple):
    """A lightness, by H&M's perceived colour value."""

    name: str
    code: int


class Colour(NamedTuple):
    """One of H&M's colour groups with the colour it is drawn in."""

    name: str
    code: int
    family: str
    family_code: int
    shade: Shade
    rgb: Rgb


class Pattern(NamedTuple):
    """One of H&M's graphical appearances; `adjective` is how a description says it."""

    name: str
    code: int
    adjective: str
    weight: float  # share of the articles that carry it


LIGHT, MEDIUM, DARK = Shade("Light", 3), Shade("Medium", 7), Shade("Dark", 4)

# family, its code, the family's word in colour groups, code of the light group, then light, medium and dark.
_FAMILIES: tuple[tuple[str, int, str, int, Rgb, Rgb, Rgb], ...] = (
    ("Grey", 12, "Grey", 6, (203, 205, 208), (141, 144, 149), (82, 85, 91)),
    ("Beige", 11, "Beige", 12, (234, 221, 198), (208, 181, 142), (156, 122, 84)),
    ("Yellow", 8, "Yellow", 21, (250, 236, 158), (246, 208, 62), (199, 152, 22)),
    ("Orange", 3, "Orange", 31, (251, 200, 152), (241, 138, 48), (186, 86, 22)),
    ("Red", 18, "Red", 41, (238, 120, 112), (207, 36, 42), (122, 18, 32)),
    ("Pink", 4, "Pink", 51, (248, 206, 215), (239, 128, 166), (188, 46, 108)),
    ("Lilac Purple", 6, "Purple", 61, (214, 196, 235), (150, 104, 192), (82, 44, 122)),
    ("Blue", 2, "Blue", 71, (168, 204, 237), (58, 114, 198), (27, 43, 92)),
    ("Turquoise", 7, "Turquoise", 81, (168, 227, 222), (44, 168, 174), (12, 96, 106)),
    ("Green", 19, "Green", 91, (180, 221, 176), (68, 150, 88), (24, 80, 52)),
)

COLOURS: tuple[Colour, ...] = (
    Colour("Black", 9, "Black", 5, DARK, (36, 36, 40)),
    Colour("White", 10, "White", 9, LIGHT, (247, 247, 245)),
    *(
        Colour(f"{prefix}{word}", first + step, family, family_code, shade, rgbs[step])
        for family, family_code, word, first, *rgbs in _FAMILIES
        for step, (prefix, shade) in enumerate((("Light ", LIGHT), ("", MEDIUM), ("Dark ", DARK)))
    ),
)

SOLID = Pattern("Solid", 1010016, "plain", 0.32)
STRIPE = Pattern("Stripe", 1010017, "striped", 0.18)
CHECK = Pattern("Check", 1010004, "checked", 0.14)
DOT = Pattern("Dot", 1010006, "dotted", 0.12)
FLORAL = Pattern("All over pattern", 1010001, "floral", 0.14)
BLOCK = Pattern("Colour blocking", 1010005, "colour-block", 0.10)
PATTERNS = (SOLID, STRIPE, CHECK, DOT, FLORAL, BLOCK)
