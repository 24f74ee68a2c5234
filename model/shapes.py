"""Few shapes for products whose rows follow the batch.

oneDNN, which multiplies bfloat16 on a processor, keeps code and memory of every shape that it has seen, so a
process would grow with every new number of positions.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

MULTIPLE = 64


def filler(count: int) -> int:
    """How many rows bring `count` up to a multiple of MULTIPLE."""
    return -count % MULTIPLE


def filled(rows: Tensor) -> Tensor:
    """Rows (P, D) with zeros behind them, up to a multiple."""
    return F.pad(rows, (0, 0, 0, filler(len(rows))))
