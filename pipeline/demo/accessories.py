"""The silhouettes of shoes, bags and hats."""

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
    arch,
    both_strokes,
    box,
    disc,
    mirrored,
    placed,
    ribs,
    rounded,
)


def sneakers(cut: Cut) -> Figure:
    """A pair of canvas shoes with laces and a rubber sole."""
    high = cut.has("a high shaft")
    ankle, toe = 36 if high else 49, 34 + cut.length * 3
    upper: list[Corner] = [
        (-35, ankle, 3), (-17, ankle + 1, 2), (-6, 55, 5), (12, 62, 8), (toe - 6, 66, 9), (toe, 77, 3),
        (-36, 77, 1), (-38, 62, 8),
    ]  # fmt: skip
    eyelets = [(-12.0, 58.0), (-6.0, 61.5), (0.0, 64.5), (6.0, 67.0)]
    if high:
        eyelets += [(-18.0, 43.0), (-18.0, 49.0)]
    shoe: Figure = [
        Piece(rounded(upper)),
        Piece(rounded([(-36, ankle + 1, 3), (-30, ankle, 1), (-29, 77), (-37, 77)]), TRIM),
        *(Stroke([(x, y), (x + 6, y - 5.5)], 1.3, SOLE) for x, y in eyelets),
    ]
    if cut.has("a rubber toe cap"):
        shoe.append(Piece(rounded([(22, 65, 3), (toe - 5, 66, 8), (toe + 1, 77, 3), (19, 77)]), SOLE))
    shoe.append(Piece(rounded([(-38, 76), (toe + 2, 76, 2), (toe + 1, 84, 3), (-37, 84, 3)]), SOLE))
    shoe.append(Stroke([(-36, 80), (toe, 80)], 0.6, TRIM))
    return [*placed(shoe, -6, -8, 0.9), *placed(shoe, 6, 21, 0.9)]


def boots(cut: Cut) -> Figure:
    """A pair of boots: a shaft, a foot, and a heel or a flat sole."""
    top = 62 - (46 if cut.has("a high shaft") else 24) * cut.length
    back = -24 * cut.width
    upper: list[Corner] = [
        (back, top, 2), (-1, top, 2), (-3, 66, 8), (8, 74, 8), (22, 79, 7), (25, 90, 2), (-23, 90, 1),
        (-23, 74, 6),
    ]  # fmt: skip
    boot: Figure = [
        Piece(rounded(upper)),
        Piece(rounded([(back, top), (-1, top), (-1, top + 5), (back, top + 5)]), TRIM),
        Stroke([(back + 4, top + 6), (-19, 86)], 0.6),
    ]
    if cut.has("a block heel"):
        boot.append(Piece(rounded([(-23, 90), (-10, 90), (-12, 102), (-22, 102)]), LINING))
        boot.append(box(-10, 89.5, 26, 93, LINING))
    else:
        boot.append(box(-24, 89.5, 27, 95, LINING))
    return [*placed(boot, -13, -2, 0.95), *placed(boot, 10, 14, 0.95)]


def bag(cut: Cut) -> Figure:
    """A body with handles or a shoulder strap, perhaps a flap."""
    top, bottom = 56.0, 60 + 45 * cut.length
    width = 32 * cut.width
    figure: Figure = [Piece(mirrored([(0, top), (width - 3, top, 3), (width, bottom - 3, 5), (0, bottom)]))]
    if cut.has("a flap with a metal clasp"):
        flap: list[Corner] = [
            (0, top - 1), (width - 2, top - 1, 3), (width - 5, top + 19, 8), (0, top + 25, 8),
        ]  # fmt: skip
        figure += [Piece(mirrored(flap), TRIM), box(-3.5, top + 20, 3.5, top + 27, METAL)]
    else:
        figure.append(Stroke([(-width + 3, top + 5), (width - 3, top + 5)], 0.8))
    if cut.has("two handles"):
        ends = [box(side * 15 - 3, top + 3, side * 15 + 3, top + 13, TRIM) for side in (-1, 1)]
        return [arch(15, top + 6, 25, 3.0, TRIM), *figure, *ends]
    return [arch(width - 2, top + 3, 8, 2.6, TRIM), *figure]


def beanie(cut: Cut) -> Figure:
    """A knitted dome with a cuff or a narrow edge, perhaps a pompom."""
    width, top = 31 * cut.width, 70 - 36 * cut.length
    cuff = 20 if cut.has("a turned-up cuff") else 8
    figure: Figure = []
    if cut.has("a pompom"):
        figure.append(disc(0, top - 6, 10, TRIM))
    figure.append(Piece(mirrored([(0, top, 14), (width * 0.75, top + 6, 18), (width, 88, 10), (0, 92)])))
    for x in (0.15, 0.45, 0.75):
        figure += both_strokes([(x * 8, top + 5), (x * width * 1.05, 86)], 0.6)
    edge: list[Corner] = [(0, 94 - cuff), (width + 1, 93 - cuff, 3), (width + 2, 92, 3), (0, 95, 4)]
    return [*figure, Piece(mirrored(edge), TRIM), *ribs(-width, width, 95 - cuff, 93)]
