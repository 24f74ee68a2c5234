"""What a model is built from: sizes, the content of all items, and what happened in training.

Shapes: N items, C content dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn

from ..core.dataset import Histories
from ..core.errors import UsageError
from ..core.schema import PADDING
from .content import EncoderTraining, FrozenContent, Read, TrainedContent
from .content_scaling import ContentScaling, ScaledContent, scaling_from
from .settings import ReadingSettings, ScaleSettings


class ContentSource(Protocol):
    """One content type of all items, as a model may be given it."""

    @property
    def name(self) -> str:
        """The modality."""
        ...

    @property
    def absent(self) -> Tensor:
        """Which items have no content, (N + 1,) bool; the padding is no item."""
        ...

    def content(
        self, settings: ReadingSettings, train_counts: Tensor
    ) -> FrozenContent | TrainedContent | ScaledContent:
        """The module that gives a model the content vectors of items by their numbers."""
        ...


@dataclass(frozen=True)
class ContentFeatures:
    """One content type of all items: `vectors` (N + 1, C), row 0 the padding; which rows are `present`.

    The vectors of an encoder that was trained along have the scaling that it was trained with; for others it
    is found anew.
    """

    name: str
    vectors: Tensor
    present: Tensor
    trained_with: ContentScaling | None = None

    @property
    def absent(self) -> Tensor:
        """Which items have no content, (N + 1,); the padding is no item."""
        absent = ~self.present
        absent[PADDING] = False
        return absent

    def content(self, settings: ReadingSettings, train_counts: Tensor) -> FrozenContent:
        """The vectors as a table."""
        return FrozenContent(self.prepared(settings, train_counts))

    def scaling(self, settings: ScaleSettings, train_counts: Tensor) -> ContentScaling:
        """What is done to the vectors, from the train items that have content."""
        if self.trained_with is not None:
            return self.trained_with
        known = self.vectors[self.present & (train_counts > 0)]
        return scaling_from(known, settings, self.vectors.dtype)

    def prepared(self, settings: ReadingSettings, train_counts: Tensor) -> Tensor:
        """The vectors as a trained model reads them: scaled, and with something for items without content.

        With --missing mean that something is the mean of the train items; after scaling, which subtracts
        this mean, it is 0, as with --missing zero.
        """
        scaling, absent = self.scaling(settings, train_counts), self.absent
        if settings.content_scale != "raw":
            centred: Tensor = scaling(self.vectors, self.present)
            return centred
        if not (absent.any() and scaling.filler.any()):
            return self.vectors  # nothing to change: the store's own array, not a copy
        filled: Tensor = scaling(self.vectors, ~absent)  # which leaves the padding's zeros
        return filled

    def centred(self, settings: ScaleSettings, train_counts: Tensor) -> Tensor:
        """The vectors without the mean of the train items, float32 (N + 1, C), scaled as the settings say.

        Whitened they are principal components, (N + 1, R): R is --whiten-rank, or less where the train items
        vary in fewer directions.
        """
        return self.scaling(settings, train_counts).centred(self.vectors, self.present)


@dataclass(frozen=True)
class TrainableContent:
    """One content type of all items behind an encoder that is trained along (see `content`).

    Scaling takes its numbers from `untrained`, the vectors of all items that the encoder gave before; without
    them it encodes all items once.
    """

    name: str
    encoder: nn.Module
    read: Read
    contents: Tensor  # each item's content by number, (N + 1,); -1 where it has none
    width: int
    training: EncoderTraining
    untrained: Tensor | None = None  # (N + 1, C)

    @property
    def absent(self) -> Tensor:
        """Which items have no content, (N + 1,); the padding is no item."""
        absent = self.contents < 0
        absent[PADDING] = False
        return absent

    def content(self, settings: ReadingSettings, train_counts: Tensor) -> TrainedContent | ScaledContent:
        """The encoder as a part of the model, and its scaling where there is one."""
        content = self._trained()
        if settings.content_scale == "raw":
            return content
        known = (self.contents >= 0) & (train_counts > 0).to(self.contents.device)
        vectors = self._untrained_vectors[known.to(self._untrained_vectors.device)]
        return ScaledContent(content, scaling_from(vectors, settings, torch.float32))

    def _trained(self) -> TrainedContent:
        return TrainedContent(self.encoder, self.read, self.contents, self.width, self.training)

    @cached_property
    def _untrained_vectors(self) -> Tensor:
        """(N + 1, C), found once, however many parts of a model ask."""
        if self.untrained is not None:
            return self.untrained
        self.encoder.to(self.contents.device)  # where the inputs are; the model follows when it is whole
        return self._trained().encode_all()


@dataclass(frozen=True)
class Materials:
    """What a model may be built from: sizes, content, and what happened in training."""

    item_count: int
    length: int
    contents: Sequence[ContentSource]
    train: Histories
    train_counts: Tensor  # how often each item was taken, (N + 1,); entry 0 is the padding's 0

    def features(self) -> list[ContentFeatures]:
        """The contents of a model that reads fixed vectors alone. Raises UsageError for a trained encoder."""
        fixed = [content for content in self.contents if isinstance(content, ContentFeatures)]
        if len(fixed) < len(self.contents):
            raise UsageError(
                "--end-to-end: this model looks for neighbours by content, in vectors that must not change; "
                "train the encoder with another model such as sasrec-content, give it to extract-features, "
                "and train this model without the option"
            )
        return fixed
