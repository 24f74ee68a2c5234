"""The silhouettes of skirts, trousers and shorts."""

from __future__ import annotations

from .geometry import (
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
)


def skirt(cut: Cut) -> Figure:
    """A waistband and a flared or straight skirt."""
    hem, top = 40 + 62 * cut.length, 28.0
    flared = cut.has("a flared shape")
    hips, bottom = 24 * cut.width, (43 if flared else 25) * cut.width
    hip_line: list[Corner] = [(22 * cut.width, 50, 12)] if flared else [(hips + 1, 52, 10)]
    front: list[Corner] = [
        (0, top), (18, top), *hip_line, (bottom, hem, 3), (bottom / 2, hem + 3, 8), (0, hem + 3, 6),
    ]  # fmt: skip
    figure: Figure = [Piece(mirrored(front)), box(-18.5, top - 6, 18.5, top + 1, TRIM)]
    if cut.has("pleats"):
        for x in (0.15, 0.45, 0.75):
            figure += both_strokes([(x * 17, top + 2), (x * bottom, hem + 2)], 0.8)
    elif cut.has("buttons down the front"):
        figure.append(Stroke([(2.5, top), (2.5, hem + 3)], 0.6))
        figure += [disc(0, y, 1.6, METAL) for y in range(int(top) + 6, int(hem) - 4, 10)]
    else:
        figure += both_strokes([(12, top + 2), (11, top + 14)], 0.6)
    return figure


def _legs(cut: Cut, top: float, hem: float, knee: tuple[float, float], foot: tuple[float, float]) -> Figure:
    """Two legs from a waist; `knee` and `foot` are the inner and outer x of a leg there."""
    crotch, middle = top + 34, (top + 34 + hem) / 2
    leg: list[Corner] = [
        (0, top), (18, top), (23 * cut.width, top + 24, 14), (knee[1] * cut.width, middle, 16),
        (foot[1] * cut.width, hem), (foot[0], hem), (knee[0], middle, 16), (0, crotch, 1.5),
    ]  # fmt: skip
    figure: Figure = [*both(leg), box(-18.5, top - 4, 18.5, top + 2)]
    figure += both_strokes([(18, top + 3), (12, top + 13)], 0.6)
    figure.append(Stroke([(0, top + 2), (2.5, top + 6), (2.5, top + 16), (0, top + 20)], 0.5))
    if cut.has("turn-ups"):
        inner, outer = foot[0] - 0.5, foot[1] * cut.width + 0.7
        figure += both([(inner, hem - 7), (outer, hem - 7), (outer, hem), (inner, hem)], TRIM)
    return figure


def trousers(cut: Cut) -> Figure:
    """Two long legs: wide, straight or tapered."""
    if cut.has("wide legs"):
        knee, foot = (4.0, 28.0), (5.0, 34.0)
    elif cut.has("straight legs"):
        knee, foot = (4.0, 23.0), (6.0, 22.0)
    else:
        knee, foot = (4.0, 20.0), (6.0, 15.0)
    figure = _legs(cut, 14, 60 + 51 * cut.length, knee, foot)
    return [*figure, disc(0, 13.5, 1.3, METAL)]


def shorts(cut: Cut) -> Figure:
    """Two short legs."""
    figure = _legs(cut, 28, 64 + 20 * cut.length, (3.0, 28.0), (4.0, 31.0))
    if cut.has("a drawstring waist"):
        figure += ribs(-18, 18, 24.5, 29.5)
        return [*figure, *both_strokes([(1, 29), (4, 43)], 1.0, SOLE)]
    return [*figure, disc(0, 27.5, 1.5, METAL), disc(0, 36, 1.2, METAL)]
