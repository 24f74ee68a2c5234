"""The principal components of vectors, with signs and order that every machine has the same.

Shapes: T vectors, C dimensions, R components.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST_VARIANCE = 1e-6  # of a principal component, beside the largest's; rounding of float16 makes less


def principal_components(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Variances (R,) and directions (C, R) of vectors (T, C) whose mean is 0, in float64, the largest first.

    Given are those in which the vectors vary, and always one. A direction's largest entry is positive.
    """
    centred = centred.double()
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(centred))  # ascending
    variances, directions = variances.flip(0).clamp(min=0), directions.flip(1)
    kept = max(1, int((variances > SMALLEST_VARIANCE * variances[0]).sum()))
    directions = directions[:, :kept]
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    return variances[:kept], directions * largest.sign()
