"""The principal components of vectors, with the same order and signs on every machine.

Shapes: T vectors, C dimensions, R components.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST_VARIANCE = 1e-6  # as a share of the largest variance; less may come from rounding to float16


def principal_components(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Variances (R,) and directions (C, R) of vectors (T, C) whose mean is 0, in float64, the largest first.

    Components with (nearly) no variance are left out, but one is always given. A component and its negative
    are equally right, so the sign is chosen: the entry of a direction that is largest in size is positive.
    """
    centred = centred.double()
    # Of the covariance (C, C): eigenvectors are the directions, eigenvalues the variances along them.
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(centred))  # ascending
    variances, directions = variances.flip(0).clamp(min=0), directions.flip(1)
    kept = max(1, int((variances > SMALLEST_VARIANCE * variances[0]).sum()))
    directions = directions[:, :kept]
    # (1, R): the entry of each direction that is largest in size, with its sign.
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    return variances[:kept], directions * largest.sign()
