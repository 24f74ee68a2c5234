"""How much each action of a window asks for, in models that add up what the newest actions are near to."""

from __future__ import annotations

import torch
from torch import Tensor


def place_weights(asks: Tensor, decay: float | Tensor) -> Tensor:
    """Weights 1, d, d², … from the newest action back, which sum to 1: (B, L) bool -> (B, L).

    Actions that do not ask weigh 0; a window in which none asks has no weight at all.
    """
    back = torch.arange(asks.shape[1] - 1, -1, -1, device=asks.device)
    weights = torch.as_tensor(decay, dtype=torch.float32, device=asks.device) ** back * asks  # 0 ** 0 is 1
    return weights / weights.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
