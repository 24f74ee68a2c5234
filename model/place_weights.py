"""The weights of a window's actions in models that score items by their nearness to the newest actions."""

from __future__ import annotations

import torch
from torch import Tensor


def place_weights(asks: Tensor, decay: float | Tensor) -> Tensor:
    """Weights in the proportion 1, d, d², … from the newest action back: (B, L) bool -> (B, L).

    Actions for which `asks` is False (padding, or an item without content) weigh 0, and the others sum to 1.
    With d = .5, the window 0 5 7 gets 0, 1/3 and 2/3. A window in which no action asks has weights of 0.
    """
    back = torch.arange(asks.shape[1] - 1, -1, -1, device=asks.device)
    # The newest action is 0 steps back and weighs d ** 0 = 1, also with d = 0, where all others weigh 0.
    weights = torch.as_tensor(decay, dtype=torch.float32, device=asks.device) ** back * asks
    # A sum of 0 is raised to the smallest float32 number: 0 / that is 0, and 0 / 0 would be NaN.
    return weights / weights.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
