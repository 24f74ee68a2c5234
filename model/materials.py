"""What a model is built from: sizes, the content of all items, and what happened in training.

Shapes: N items, C content dimension.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..core.dataset import Histories
from ..core.schema import PADDING
from .settings import ReadingSettings

SMALLEST_DEVIATION = 1e-4  # of a dimension's largest value; one that varies less is 0 for all items


@dataclass(frozen=True)
class ContentFeatures:
    """One content type of all items: `vectors` (N + 1, C), row 0 the padding; which rows are `present`."""

    name: str
    vectors: Tensor
    present: Tensor

    @property
    def absent(self) -> Tensor:
        """Which items have no content, (N + 1,); the padding is no item."""
        absent = ~self.present
        absent[PADDING] = False
        return absent

    def prepared(self, settings: ReadingSettings, train_counts: Tensor) -> Tensor:
        """The vectors as a model reads them: scaled, and with something for items without content.

        Mean and deviation are those of the train items that have content, each counted once.
        """
        known = self.vectors[self.present & (train_counts > 0)].float()
        absent = self.absent
        if len(known) == 0 or (settings.content_scale == "raw" and not absent.any()):
            return self.vectors
        mean = known.mean(0)
        vectors = self.vectors.clone()
        if settings.missing == "mean":
            vectors[absent] = mean.to(vectors.dtype)
        if settings.content_scale == "raw":
            return vectors
        real = self.present | absent if settings.missing == "mean" else self.present
        deviation = known.std(0, correction=0)
        varies = deviation > SMALLEST_DEVIATION * known.abs().amax(0)
        scaled = (vectors[real].float() - mean) / deviation.where(varies, 1)
        vectors[real] = (scaled * varies).to(vectors.dtype)
        return vectors


@dataclass(frozen=True)
class Materials:
    """What a model may be built from: sizes, content, and what happened in training."""

    item_count: int
    length: int
    contents: list[ContentFeatures]
    train: Histories
    train_counts: Tensor  # how often each item was taken, (N + 1,); entry 0 is the padding's 0
