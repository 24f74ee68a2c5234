"""Row counts rounded up to multiples of 64, so that matrix products have few different shapes.

The number of real positions differs from batch to batch. oneDNN, which multiplies bfloat16 on a processor,
keeps compiled code and memory for every shape that it has met, so a process would grow with every new number.
For example, batches of 1,000 and of 1,010 positions both get 1,024 rows.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

MULTIPLE = 64


def filler(count: int) -> int:
    """How many rows bring `count` up to a multiple of MULTIPLE."""
    return -count % MULTIPLE


def filled(rows: Tensor) -> Tensor:
    """Rows (P, D) with rows of zeros added at the end, up to a multiple of MULTIPLE."""
    return F.pad(rows, (0, 0, 0, filler(len(rows))))
