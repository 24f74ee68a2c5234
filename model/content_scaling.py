"""What is done to content vectors before a model reads them, with numbers from the train items alone.

The same module makes the table that a model is trained with and goes with an export, where it scales the
vectors of items that the model has never met. Behind an encoder that is trained along it keeps the numbers of
the vectors that the encoder gave untrained.

Shapes: K items, T train items with content, C content dimension, R principal components.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .content import TrainedContent, trained_contents
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

    def __init__(self, scale: str, dtype: torch.dtype, numbers: Mapping[str, Tensor]) -> None:
        """`dtype` is the number format of the vectors; `numbers` are what `scaling_from` found, by name."""
        super().__init__()
        self.scale = scale
        self.dtype = dtype
        for name, number in numbers.items():
            self.register_buffer(name, number)

    @property
    def width(self) -> int:
        """The dimension of what it gives: R where it whitens, else C."""
        return len(self.turn.T) if self.scale == "whiten" else len(self.mean)

    def centred(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Without the mean, scaled: (…, C) -> (…, C), or (…, R) whitened; 0 where not `present`, (…)."""
        vectors = vectors.to(self.mean.dtype) - self.mean
        if self.scale == "standard":
            vectors = vectors / self.deviation * self.varies
        if self.scale == "whiten":
            vectors = vectors @ self.turn
        # 0 is the mean: an item without content then looks like the average item.
        return vectors * present.unsqueeze(-1)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """As a trained model reads them: (K, C) and which are `present`, (K,) -> (K, C) or (K, R)."""
        if self.scale != "raw":
            return self.centred(vectors, present).to(self.dtype)
        return vectors.to(self.dtype).where(present[:, None], self.filler)


class ScaledContent(nn.Module):
    """The vectors of an encoder that is trained along, scaled by numbers that stay as they were at the start.

    The vectors move at each step, and a mean that moved with them would undo what the encoder learns.
    """

    present: Tensor

    def __init__(self, content: TrainedContent, scaling: ContentScaling) -> None:
        super().__init__()
        self.content = content
        self.scaling = scaling
        self.register_buffer("present", content.contents >= 0, persistent=False)  # (N + 1,)

    @property
    def width(self) -> int:
        """The dimension of the scaled vectors."""
        return self.scaling.width

    def forward(self, items: Tensor) -> Tensor:
        """(…) item numbers -> (…, C), or (…, R) whitened."""
        return self.scaling.centred(self.content(items), self.present[items])


def scaling_from(known: Tensor, settings: ScaleSettings, dtype: torch.dtype) -> ContentScaling:
    """The scaling that the settings ask for, by numbers of `known`, (T, C); `dtype` as in ContentScaling.

    Without any train item there is nothing to take numbers from, so vectors stay as they are.
    """
    known = known.float()
    scale = settings.content_scale if len(known) else "raw"
    mean = known.mean(0) if len(known) else known.new_zeros(known.shape[1])
    fills = isinstance(settings, ReadingSettings) and settings.missing == "mean"
    numbers = {"mean": mean, "filler": (mean if fills else torch.zeros_like(mean)).to(dtype)}
    if scale == "standard":
        deviation = known.std(0, correction=0)
        # A constant dimension has a deviation of rounding errors; divided by it, noise
        # would count as much as content.
        varies = deviation > SMALLEST_DEVIATION * known.abs().amax(0)
        numbers |= {"deviation": deviation.where(varies, 1), "varies": varies}
    if scale == "whiten":
        numbers["turn"] = _whitening(known - mean, settings.whiten_rank)
    return ContentScaling(scale, dtype, numbers)


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


def scalings_of(model: nn.Module) -> list[ContentScaling | None]:
    """The scaling behind each of a model's `trained_contents`; None where vectors are read as they are."""
    scaled = {part.content: part.scaling for part in model.modules() if isinstance(part, ScaledContent)}
    return [scaled.get(content) for content in trained_contents(model)]
