"""The silhouettes of garments for the upper body, and of the dress."""

from __future__ import annotations

from .geometry import (
    LINING,
    METAL,
    SOLE,
    TRIM,
    Corner,
    Cut,
    Figure,
    Piece,
    Stroke,
    both,
    both_strokes,
    box,
    disc,
    mirrored,
    ribs,
    rounded,
)


def _sleeves(cut: Cut, length: float, cuff: float, shoulder: float = 25.0) -> list[Piece]:
    """Two sleeves that end `length` below the shoulder, `cuff` wide."""
    outside = min(46.0, shoulder + 8 + length * 0.26 * cut.width)
    inside = outside - cuff
    return both([
        (shoulder - 6, 25, 3), (shoulder + 2, 27, 6), (outside, 27 + length),
        (inside, 29 + length), (22 * cut.width, 52, 4), (18, 40),
    ])  # fmt: skip


def _body(cut: Cut, hem: float) -> Piece:
    """The front of a top down to `hem`."""
    waist = 23.5 * cut.width
    throat: list[Corner] = [(0, 38, 1)] if cut.has("a V-neck") else [(0, 29, 3), (5.5, 27.5, 4)]
    return Piece(mirrored([
        *throat, (9, 21, 1), (25, 26, 3), (waist, 48, 8), (waist, 70, 20), (25 * cut.width, hem), (0, hem),
    ]))  # fmt: skip


def _neckband(cut: Cut) -> list[Piece | Stroke]:
    if cut.has("a V-neck"):
        return [Stroke([(-10, 22), (0, 40), (10, 22)], 1.6, TRIM)]
    return [Stroke([(-10, 22), (-6.5, 28.5), (0, 30.8), (6.5, 28.5), (10, 22)], 1.8, TRIM)]


def _back_of_neck(y: float = 20.5) -> Piece:
    return Piece(rounded([(-9.5, y, 2), (9.5, y, 2), (8, 46, 3), (-8, 46, 3)]), LINING)


def t_shirt(cut: Cut) -> Figure:
    """Short sleeves and a straight body."""
    hem = 30 + 68 * cut.length
    figure: Figure = [_back_of_neck(), *_sleeves(cut, 23, 13), _body(cut, hem), *_neckband(cut)]
    figure.append(Stroke([(-25 * cut.width, hem - 3), (25 * cut.width, hem - 3)]))
    if cut.has("a chest pocket"):
        figure.append(Piece(rounded([(6, 46), (17, 46), (17, 57), (11.5, 60), (6, 57)])))
    return figure


def vest_top(cut: Cut) -> Figure:
    """Shoulder straps, no sleeves."""
    hem, strap = 32 + 66 * cut.length, 3.0 if cut.has("narrow shoulder straps") else 8.0
    half: list[Corner] = [
        (0, 42, 6), (11, 37, 6), (13, 18), (13 + strap, 18), (15.5 + strap / 2, 38, 5),
        (24 * cut.width, 50, 3), (22 * cut.width, 72, 15), (25 * cut.width, hem), (0, hem),
    ]  # fmt: skip
    figure: Figure = [
        Piece(rounded([(-13, 30, 3), (13, 30, 3), (13, 45), (-13, 45)]), LINING),
        Piece(mirrored(half)),
        Stroke([(-12, 37.5), (-6, 41), (0, 42), (6, 41), (12, 37.5)], 1.0, TRIM),
    ]
    if cut.has("a decorative bow"):
        figure += [*both([(0, 44), (7, 40.5), (7, 47.5)], TRIM), disc(0, 44, 1.5, TRIM)]
    return figure


def sweater(cut: Cut) -> Figure:
    """Long sleeves with ribbed edges or raglan seams."""
    hem = 34 + 66 * cut.length
    sleeves = _sleeves(cut, 66, 12)
    figure: Figure = [_back_of_neck(), *sleeves, _body(cut, hem)]
    if cut.has("a roll neck"):
        figure += [Piece(mirrored([(0, 12), (9, 12, 2), (11, 27, 3), (0, 29, 4)])), *ribs(-9, 9, 14, 27)]
    else:
        figure += _neckband(cut)
    if cut.has("ribbed cuffs and hem"):
        width = 25 * cut.width
        figure += [box(-width, hem - 8, width, hem, TRIM), *ribs(-width, width, hem - 7.5, hem - 0.5)]
        for sleeve in sleeves:
            xs = [x for x, y in sleeve.outline if y > 90]
            figure += [box(min(xs), 88, max(xs), 96, TRIM), *ribs(min(xs), max(xs), 88.5, 95.5)]
    else:
        figure += both_strokes([(9, 24), (15, 36), (22 * cut.width, 50)], 0.9)
    return figure


def shirt(cut: Cut) -> Figure:
    """A collar, buttons down the front, a rounded hem."""
    hem = 34 + 66 * cut.length
    long_sleeves = cut.has("long sleeves")
    half: list[Corner] = [
        (0, 28), (8, 20), (25, 26, 3), (23.5 * cut.width, 48, 8), (23 * cut.width, 70, 20),
        (25 * cut.width, hem - 8, 6), (14, hem, 6), (0, hem, 4),
    ]  # fmt: skip
    sleeves = _sleeves(cut, 64, 11) if long_sleeves else _sleeves(cut, 25, 13)
    figure: Figure = [_back_of_neck(18), *sleeves, Piece(mirrored(half))]
    figure += both_strokes([(2.5, 30), (2.5, hem)], 0.5)
    figure += both([(0, 29, 0.5), (9, 17, 1), (14, 24, 1), (8, 34, 1)])
    figure += [disc(0, y, 1.2, SOLE) for y in range(36, int(hem) - 4, 11)]
    if cut.has("a chest pocket"):
        figure.append(Piece(rounded([(7, 47), (18, 47), (18, 58), (12.5, 61), (7, 58)])))
    return figure


def hoodie(cut: Cut) -> Figure:
    """A hood, cords, and a pocket or a zip."""
    hem = 36 + 64 * cut.length
    width = 26 * cut.width
    front: list[Corner] = [
        (0, 37, 2), (10, 24, 2), (26, 27, 3), (24 * cut.width, 50, 8), (width, hem), (0, hem),
    ]  # fmt: skip
    figure: Figure = [
        *_sleeves(cut, 65, 13, shoulder=26),
        Piece(mirrored([(0, 6, 6), (14, 9, 7), (18, 24, 6), (10, 34, 4), (0, 36)])),
        Piece(mirrored([(0, 11, 6), (9, 13, 6), (11, 24, 5), (0, 33, 5)]), LINING),
        Piece(mirrored(front)),
        box(-width, hem - 7, width, hem, TRIM),
        *ribs(-width, width, hem - 6.5, hem - 0.5),
    ]
    if cut.has("a zip down the front"):
        figure += [Stroke([(0, 36), (0, hem)], 1.6, METAL), Stroke([(0, 36), (0, hem)], 0.5)]
    else:
        figure.append(Piece(rounded([(-10, 66), (10, 66), (17, 84), (17, 89), (-17, 89), (-17, 84)])))
    return [*figure, *both_strokes([(5, 31), (5.5, 48)], 1.0, SOLE)]


def jacket(cut: Cut) -> Figure:
    """Lapels and buttons, or a short jacket with a diagonal zip."""
    blazer = cut.has("notch lapels and buttons")
    hem = 36 + (68 if blazer else 52) * cut.length
    width = 26 * cut.width
    front: list[Corner] = [
        (0, 56), (9, 20), (28, 26, 3), (25 * cut.width, 50, 8), (24 * cut.width, 72, 20), (width, hem, 4),
        (0, hem, 1),
    ]  # fmt: skip
    figure: Figure = [
        _back_of_neck(19),
        *_sleeves(cut, 66, 13, shoulder=28),
        Piece(mirrored(front)),
        Piece(rounded([(-9, 20), (9, 20), (0, 57)]), LINING),
    ]
    if blazer:
        figure += both([(0, 60), (8, 19), (14, 25), (19, 34), (15, 36), (17, 41)], TRIM)
        figure += [Stroke([(0, 60), (0, hem)], 0.7), *(disc(-2.5, y, 1.6, METAL) for y in (66, 78))]
    else:
        figure += both([(3, 50), (7, 19), (17, 24), (19, 36)], TRIM)
        figure += [Stroke([(-14, 34), (6, hem)], 1.8, METAL), box(-width, hem - 6, width, hem, TRIM)]
    if cut.has("flap pockets"):
        figure += both([(9, hem - 24), (21, hem - 24), (21, hem - 18), (9, hem - 18)])
    return figure


def dress(cut: Cut) -> Figure:
    """A fitted top and a flared skirt in one."""
    hem, waist = 42 + 72 * cut.length, 60.0
    flare = 36 * cut.width
    v_neck = cut.has("a V-neck")
    throat: list[Corner] = [(0, 34, 1)] if v_neck else [(0, 26, 3), (6.5, 24, 4)]
    sleeveless = cut.has("no sleeves")
    shoulder: list[Corner] = [(10, 14), (16, 15), (17, 26, 4)] if sleeveless else [(10, 14), (22, 18, 3)]
    half: list[Corner] = [
        *throat, *shoulder, (20, 38, 5), (15.5 * cut.width, waist, 6), (flare, hem, 3),
        (flare / 2, hem + 2.5, 8), (0, hem + 3, 8),
    ]  # fmt: skip
    figure: Figure = [Piece(rounded([(-10, 14), (10, 14), (8, 38, 3), (-8, 38, 3)]), LINING)]
    if not sleeveless:
        ends = [(31, 41), (22, 46)] if cut.has("short sleeves") else [(37, 84), (29, 86)]
        figure += both([(15, 17, 3), (23, 18.5, 5), *ends, (18, 42, 3)])
    figure.append(Piece(mirrored(half)))
    for x in (0.25, 0.6):
        figure += both_strokes([(x * 15, waist + 4), (x * flare * 1.1, hem)], 0.5)
    belt = 16.5 * cut.width
    if cut.has("a tie belt"):
        figure += [box(-belt, waist - 3, belt, waist + 2.5, TRIM), disc(4, waist, 2.6, TRIM)]
        figure += [Stroke([(4, waist), (x, waist + 16)], 2, TRIM) for x in (2.0, 8.0)]
    else:
        figure.append(Stroke([(-belt + 1, waist), (belt - 1, waist)], 0.7))
    return figure
