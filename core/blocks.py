"""How many rows of a matrix of all items' scores are held in one step, so that it fits into memory."""

from __future__ import annotations

SCORES_AT_ONCE = 1 << 25  # scores of a block: 256 MiB in float64, of which a step holds a few copies


def rows_at_once(columns: int, most: int) -> int:
    """`most` rows, halved until the scores of `columns` items for them are few enough; 1 at least.

    Halves of a block end where the block ends, so whatever begins at multiples of it begins at theirs too.

    >>> rows_at_once(60_000, 512), rows_at_once(1_000_000, 512)
    (512, 32)
    """
    rows = most
    while rows > 1 and rows * columns > SCORES_AT_ONCE:
        rows //= 2
    return rows
