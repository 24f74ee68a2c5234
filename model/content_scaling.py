"""What is done to content vectors before a model reads them, with numbers from the train items alone.

The same module makes the table that a model is trained with and goes with an export, where it scales the
vectors of items that the model has never met.

Shapes: K items, T train items with content, C content dimension, R principal components.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .principal_components import principal_components
from .settings import ReadingSettings, ScaleSettings

SMALLEST_DEVIATION = 1e-4  # of a dimension's largest value; one that varies less is 0 for all items


class ContentScaling(nn.Module):
    """Centring, scaling or whitening, and what stands for the content of an item that has none."""

    mean: Tensor
    filler: Tensor
    deviation: Tensor
    varies: Tensor
    turn: Tensor

    def __init__(self, known: Tensor, settings: ScaleSettings, dtype: torch.dtype) -> None:
        """Take the numbers from `known`, (T, C) float32; `dtype` is the number format of the store."""
        super().__init__()
        # Without any train item there are no means to take, so vectors stay as they are.
        self.scale = settings.content_scale if len(known) else "raw"
        self.centres = settings.content_scale != "raw"
        self.dtype = dtype
        mean = known.mean(0) if len(known) else known.new_zeros(known.shape[1])
        fills = isinstance(settings, ReadingSettings) and settings.missing == "mean"
        self.register_buffer("mean", mean)
        self.register_buffer("filler", mean.to(dtype) if fills else torch.zeros_like(mean, dtype=dtype))
        if self.scale == "standard":
            deviation = known.std(0, correction=0)
            # A constant dimension has a deviation of rounding errors; divided by it, noise
            # would count as much as content.
            varies = deviation > SMALLEST_DEVIATION * known.abs().amax(0)
            self.register_buffer("deviation", deviation.where(varies, 1))
            self.register_buffer("varies", varies)
        if self.scale == "whiten":
            self.register_buffer("turn", _whitening(known - mean, settings.whiten_rank))

    def centred(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Without the mean, scaled: (K, C) -> float32 (K, C), or (K, R) whitened; 0 where not `present`."""
        vectors = vectors.float() - self.mean
        if self.scale == "standard":
            vectors = vectors / self.deviation * self.varies
        if self.scale == "whiten":
            vectors = vectors @ self.turn
        # 0 is the mean: an item without content then looks like the average item.
        return vectors * present[:, None]

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """As a trained model reads them: (K, C) and which are `present`, (K,) -> (K, C) or (K, R)."""
        if self.centres:
            return self.centred(vectors, present).to(self.dtype)
        return vectors.to(self.dtype).where(present[:, None], self.filler)


def _whitening(centred: Tensor, rank: int) -> Tensor:
    """The matrix (C, R) that turns vectors like `centred` (T, C) into components of deviation 1.

    Text and picture encoders give vectors that mostly share a few directions; whitened, all count alike
    (WhitenRec, ICDE 2024).
    """
    variances, directions = principal_components(centred)
    kept = rank or len(variances)
    # (R,). A component's deviation, by which it is divided; 0 only where all items are the same.
    scales = variances[:kept].sqrt()
    turned = directions[:, :kept] / scales.where(scales > 0, 1)
    return turned.float()
