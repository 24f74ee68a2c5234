"""Content-KNN: recommends the items whose content is nearest to that of the newest items; nothing is trained.

Each item is represented by its content vector, less the mean over the train items, scaled to length 1. A
history is the mean of the vectors of its newest L items with the weights 1, d, d², … from the newest back.
An item's score is the inner product of both; at d = 0 that is the cosine with the newest item. Several
content types are concatenated with equal weight, so that the score is the mean of their cosines. An item
without content has the vector 0: it adds nothing to a history, and scores 0 itself.
The mean is subtracted because all vectors of one encoder share a large common part: without that, the cosine
of any two items is near 1.

The newest item of a history is always nearest to itself. On data where nobody takes an item twice, it would
waste the first place of every list, so it may be left out of the candidates (`--last-item`). Decay and this
choice are made on validation where they are not given.

Shapes: B queries, L steps, N items, C dimensions of all content types together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.dataset import Queries
from .batches import newest
from .place_weights import place_weights

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import ContentKNNSettings

DECAYS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # what validation chooses among; 1 weighs all L actions alike


class ContentKNN(nn.Module):
    """Neighbours by content; only the two choices are saved, the vectors come from the feature store."""

    vectors: Tensor
    decay: Tensor
    last_left_out: Tensor

    def __init__(self, materials: Materials, settings: ContentKNNSettings) -> None:
        super().__init__()
        self.length = materials.length
        self.settings = settings
        counts = materials.train_counts
        types = [F.normalize(content.centred(settings, counts)) for content in materials.features()]
        # With T types, √T in both factors of an inner product makes it the mean of T cosines.
        vectors = torch.cat(types, dim=1) / len(types) ** 0.5
        self.register_buffer("vectors", vectors, persistent=False)  # (N + 1, C), row 0 the padding's zeros
        self.register_buffer("decay", torch.tensor(DECAYS[0] if settings.decay is None else settings.decay))
        self.register_buffer("last_left_out", torch.tensor(settings.last_item != "kept"))

    @property
    def skips_last(self) -> bool:
        """Whether the newest item of a history is no candidate."""
        return bool(self.last_left_out)

    @property
    def ranks_cold_items(self) -> bool:
        """True: an item is scored by its content, with or without train actions."""
        return True

    def encode(self, inputs: Tensor) -> Tensor:
        """The weighted means of the items' vectors, zeros where none has any: (B, L) -> (B, C)."""
        vectors = self.vectors[inputs]  # (B, L, C)
        # Items without content are zeros. They get no weight, so the others' weights still sum to 1.
        states: Tensor = torch.einsum("bl,blc->bc", place_weights(vectors.any(dim=2), self.decay), vectors)
        return states

    def encode_queries(self, queries: Queries, low: int, high: int) -> Tensor:
        """The same of the newest L actions of queries low…high-1, (B, C)."""
        return self.encode(newest(queries.histories, low, high, self.length).to(self.vectors.device))

    def items(self) -> tuple[Tensor, Tensor]:
        """The items' vectors (N, C), and no bias (N,)."""
        vectors = self.vectors[1:]
        return vectors, vectors.new_zeros(len(vectors))

    def items_with_cold(self, cold: Tensor, warm: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same as `items`: the only thing taken from train actions is the mean that is subtracted."""
        return self.items()

    def choose(self, validate: Callable[[], float]) -> dict[str, Any]:
        """Choose what the settings leave open by `validate`, the validation metric of the model as it is.

        First the decay, with the newest item left out; then, at the best decay, whether to leave it out. Of
        equal values the first tried is kept: the smaller decay, and the newest item left out.
        """
        chosen: dict[str, Any] = {}
        left_out: float | None = None  # the metric at the chosen decay, where it is known already
        if self.settings.decay is None:
            found = []
            for decay in DECAYS:
                self.decay.fill_(decay)
                found.append(validate())
            left_out = max(found)
            # `index` finds the first of equal values, the smallest decay.
            chosen["decay"] = DECAYS[found.index(left_out)]
            self.decay.fill_(chosen["decay"])
        if self.settings.last_item == "auto":
            # With `auto` the newest item has been left out so far. It is kept if that gains, and
            # left out again if it does not.
            left_out = validate() if left_out is None else left_out
            self.last_left_out.fill_(False)
            self.last_left_out.fill_(validate() <= left_out)
            chosen["last_item"] = "left-out" if self.skips_last else "kept"
        return chosen
