"""Lengths of vectors, and how they lie on the unit sphere: alignment of pairs and uniformity of a set.

The two measures are of Wang and Isola, Understanding Contrastive Representation Learning through Alignment
and Uniformity on the Hypersphere, ICML 2020, with their exponents: squared distances, and a Gaussian kernel
with t = 2. Each vector is scaled to length 1 first, as the TSSR paper does. Lower is better for both: pairs
that coincide have an alignment of 0, and vectors that are spread evenly have a low uniformity.

Shapes: N vectors of D dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.dataset import Float64

MEASURES = ("alignment", "uniformity")
_SHARPNESS = 2.0  # t of the kernel exp(-t * squared distance)


def squared_lengths(vectors: NDArray[Any]) -> Float64:
    """The squared length of each of N vectors, (N, D) -> (N,), summed in float64 without a copy of them."""
    squares: Float64 = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64, casting="unsafe")
    return squares


def unit_rows(vectors: NDArray[Any]) -> NDArray[Any]:
    """Vectors scaled to length 1, (N, D), in float32, or in float64 where they are; zeros stay zeros.

    >>> unit_rows(np.array([[3, 4], [0, 0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    rows = vectors.astype(np.result_type(vectors.dtype, np.float32))  # a copy, and the only one
    lengths = np.sqrt(squared_lengths(rows))[:, None]
    # A vector of zeros has no direction and stays as it is.
    np.divide(rows, lengths, out=rows, where=lengths > 0, casting="same_kind")
    return rows


def alignment(one: Float64, other: Float64) -> float:
    """The mean squared distance of the pairs (one[i], other[i]), (N, D) each: 0 to 4.

    A pair in one direction has 0, one at a right angle 2, one in opposite directions 4:

    >>> alignment(np.array([[1, 0], [3, 0]]), np.array([[5, 0], [0, 2]])) == (0 + 2) / 2
    True
    """
    return float(np.square(unit_rows(one) - unit_rows(other)).sum(axis=1).mean())


def uniformity(vectors: Float64) -> float:
    """The logarithm of the mean of exp(-2 * squared distance) over all pairs of the N vectors: at most 0.

    Three vectors here have the squared distances 0, 2 and 2:

    >>> found = uniformity(np.array([[1, 0], [2, 0], [0, 1]]))
    >>> round(found, 12) == round(float(np.log((1 + 2 * np.exp(-4)) / 3)), 12)
    True
    """
    rows = unit_rows(vectors)
    # Each pair once. For vectors of length 1, |a - b|² = 2 - 2 a · b; rounding may take it just below 0.
    upper = np.triu_indices(len(rows), k=1)
    squared = np.maximum(2 - 2 * (rows @ rows.T)[upper], 0.0)
    return float(np.log(np.mean(np.exp(-_SHARPNESS * squared)))) if len(squared) else 0.0


def measure_title(name: str) -> str:
    """The name that a measure of a model's vectors has in logs, in words.

    >>> measure_title("alignment_items_image"), measure_title("uniformity_users_id")
    ('Alignment of items, id and image', 'Uniformity of users, id stream')
    >>> measure_title("uniformity_items_model")
    'Uniformity of items, the only stream'
    """
    measure, of, stream = name.split("_", 2)
    streams = "the only stream" if stream == "model" else f"{stream} stream"
    told = f"id and {stream}" if measure == "alignment" else streams
    return f"{measure.capitalize()} of {of}, {told}"
