"""The loss of the models whose loss is a setting (`--loss`): SASRec and GRU4Rec.

It is the head's cross-entropy over all items, or a loss against negatives that are drawn for each step,
uniformly from the items that the step's user did not take in training.

Shapes: P real positions, D width, K negatives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from .heads import ItemHead
from .losses import binary_cross_entropy, bpr_max, gbce_power
from .negatives import Negatives

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import LossSettings


class NextItemLoss(nn.Module):
    """The loss that the settings name."""

    def __init__(self, materials: Materials, settings: LossSettings) -> None:
        super().__init__()
        self.settings = settings
        self.negatives = None if settings.loss == "ce" else Negatives(materials.train)

    def forward(self, head: ItemHead, states: Tensor, targets: Tensor, users: Tensor) -> dict[str, Tensor]:
        """The loss by its name: states (P, D), their next items and their users (P,); mean over positions."""
        chosen = self.settings
        if self.negatives is None:
            return {"ce": head(states, targets)}
        # Each position's user K times in a row: (P K,), brought to (P, K) below.
        drawn = self.negatives.draw(users.repeat_interleave(chosen.drawn_negatives))
        scores = head.scores(states, targets, drawn.view(-1, chosen.drawn_negatives))
        if chosen.loss == "bpr-max":
            return {"bpr-max": bpr_max(*scores, chosen.bpr_max_l2)}
        power = 1.0
        if chosen.loss == "gbce":
            power = gbce_power(chosen.drawn_negatives, self.negatives.item_count, chosen.gbce_calibration)
        return {chosen.loss: binary_cross_entropy(*scores, power)}
