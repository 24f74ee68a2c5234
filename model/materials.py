"""What a model is built from: sizes, the content of all items, and what happened in training.

Shapes: N items, C content dimension.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..core.dataset import Histories
from ..core.schema import PADDING
from .settings import ReadingSettings, ScaleSettings

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
        """The vectors as a trained model reads them: scaled, and with something for items without content.

        Once they are centred, the mean that may stand for missing content is 0 too.
        """
        if settings.content_scale != "raw":
            return self.centred(settings, train_counts).to(self.vectors.dtype)
        known, absent = self._known(train_counts), self.absent
        if settings.missing == "zero" or len(known) == 0 or not absent.any():
            return self.vectors
        vectors = self.vectors.clone()
        vectors[absent] = known.mean(0).to(vectors.dtype)
        return vectors

    def centred(self, settings: ScaleSettings, train_counts: Tensor) -> Tensor:
        """The vectors without the mean of the train items, in float32; scaled where the settings say so.

        Mean and deviation are those of the train items that have content, each counted once. Items without
        content, and the padding, are 0.
        """
        known = self._known(train_counts)
        vectors = self.vectors.float()
        if len(known) == 0:
            return vectors
        vectors = vectors - known.mean(0)
        if settings.content_scale == "standard":
            deviation = known.std(0, correction=0)
            varies = deviation > SMALLEST_DEVIATION * known.abs().amax(0)
            vectors = vectors / deviation.where(varies, 1) * varies
        return vectors * self.present[:, None]

    def _known(self, train_counts: Tensor) -> Tensor:
        """The vectors of the train items that have content."""
        return self.vectors[self.present & (train_counts > 0)].float()


@dataclass(frozen=True)
class Materials:
    """What a model may be built from: sizes, content, and what happened in training."""

    item_count: int
    length: int
    contents: list[ContentFeatures]
    train: Histories
    train_counts: Tensor  # how often each item was taken, (N + 1,); entry 0 is the padding's 0
