"""CL4SRec: SASRec with a contrastive loss on altered windows (Xie et al., ICDE 2022, arXiv 2010.14395).

There is no official code; references: RuihongQiu/DuoRec and RecBole-DA. Each window is altered twice, by two
different operators out of crop, mask and reorder. The last states of these two views are a positive pair, and
the 2(B-1) states of the other windows are the negatives (NT-Xent, inner product). The item loss, block and
head are SASRec's.
On purpose different from DuoRec: views are new tensors (there, masking overwrites the window that the item
loss reads), and the mask is a token of its own, not the padding.

Shapes: B batch, L steps, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from .augment import crop, mask, reorder
from .batches import WindowBatch
from .gathering import equal_contribution, gathered
from .inputs import ItemVectors
from .precision import in_float32
from .recommender import Losses
from .sasrec import SASRec

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import CL4SRecSettings


class CL4SRec(SASRec):
    """SASRec over learned item vectors and one more vector for the mask token."""

    def __init__(self, materials: Materials, settings: CL4SRecSettings) -> None:
        super().__init__(ItemVectors(materials.item_count, settings.width, further=1), materials, settings)
        self.mask_token = materials.item_count + 1
        self.settings = settings

    def views(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Two views of each window by two different operators, each (B, L)."""
        chosen = self.settings
        # (3, B, L): every window altered in each of the three ways.
        views = torch.stack(
            [
                crop(inputs, chosen.crop_share),
                mask(inputs, chosen.mask_share, self.mask_token),
                reorder(inputs, chosen.reorder_share),
            ]
        )
        # (3, B): a random order of the three operators for each window. Its first two
        # rows name two different ones.
        operators = torch.rand(len(views), len(inputs), device=inputs.device).argsort(dim=0)
        rows = torch.arange(len(inputs), device=inputs.device)
        return views[operators[0], rows], views[operators[1], rows]

    def losses(self, batch: WindowBatch) -> Losses:
        """SASRec's cross-entropy and the weighted contrast of views."""
        terms = super().losses(batch)
        if self.settings.lambda_view:
            first, second = (self.encode(view) for view in self.views(batch.inputs))
            terms["view"] = self.settings.lambda_view * view_contrast(first, second, self.settings.tau_view)
        return terms


def view_contrast(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """NT-Xent: cross-entropy of picking a state's other view among 2B - 1 states; (B, D) each.

    Mean over the 2B states.
    """
    first, second = gathered(first), gathered(second)
    states = torch.cat([first, second]).float()
    # In float32: a state after LayerNorm has length sqrt(D), so two similar views score about D. At D = 128
    # neighbouring bfloat16 numbers are 1 apart, too coarse for a softmax.
    with in_float32(states.device):
        scores = states @ states.T / temperature
    itself = torch.eye(len(states), dtype=torch.bool, device=states.device)
    # The other view of state k stands B places further on, in a circle. Example with B =
    # 2: 0 1 2 3 becomes 2 3 0 1.
    twin = torch.arange(len(states), device=states.device).roll(len(first))
    return equal_contribution(F.cross_entropy(scores.masked_fill(itself, -torch.inf), twin))
