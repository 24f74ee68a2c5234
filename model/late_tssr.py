"""TSSR-Late: an ID stream, a content stream and two kinds of neighbours, whose scores are added at the end.

TSSR merges its streams inside the model, by alignment, cross-attention and a gate. On sparse data it then
uses little of the content: SASRec-ID plus neighbours by content, which are not trained, ranks better than
TSSR (docs/results.md). Here the parts share neither weights nor gradients, so each learns all that its own
input offers:

    items ─┬─ learned vectors ──── transformer · item table ──┐
           ├─ neighbours by order (Order-KNN) ────────────────┤
           │                                                  ├─ weighted sum of scores
           ├─ projected content ── transformer · item table ──┤
           └─ neighbours by content (Content-KNN) ────────────┘

The two transformers are SASRec-ID and SASRec-Content, trained side by side on the same batches, each with a
loss and a table of its own and no gradient from the other. While they train, the plain sum of their scores is
what validation sees. Then the four weights are chosen on validation, as `tssr blend` chooses them (see
`blend_weights`). EnsRec (arXiv 2512.17820) also found that independent models, added up at the end, beat
models that fuse IDs and text earlier.

Shapes: B queries, N items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.dataset import Histories, Queries
from ..core.settings import resolve
from .batches import WindowBatch, Windows
from .blend import DenseBlend
from .content_knn import ContentKNN
from .order_knn import OrderKNN
from .recommender import BlockScores, Losses, NeuralRecommender, Recommender
from .sasrec import SASRec, sasrec_content, sasrec_id
from .settings import BlendSettings, ContentKNNSettings

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import LateTSSRSettings

TRAINED = ("ids", "content")  # the parts that are trained, the first of the blend
PARTS = (*TRAINED, "content neighbours", "order neighbours")


class LateTSSR(NeuralRecommender):
    """A blend of four parts: two trained models and two kinds of neighbours."""

    length: int

    def __init__(self, materials: Materials, settings: LateTSSRSettings) -> None:
        super().__init__()
        self.length = materials.length
        scale, rank = settings.content_scale, settings.whiten_rank
        # Only the newest item asks for its neighbours (a decay of 0), and it is no candidate itself.
        newest_asks = {"decay": 0.0, "last_item": "left-out", "content_scale": scale, "whiten_rank": rank}
        parts: list[nn.Module] = [
            sasrec_id(materials, settings),
            sasrec_content(materials, settings),
            ContentKNN(materials, resolve(ContentKNNSettings, newest_asks)),
            OrderKNN(materials, settings),
        ]
        self.blend = DenseBlend(
            cast("list[Recommender]", parts), materials.train_counts, resolve(BlendSettings, {})
        )
        self.blend.of_item[len(TRAINED) :] = 0  # until weights are chosen
        self.skips_last = self.blend.skips_last

    def samples(self, train: Histories, which: str, device: torch.device) -> Windows:
        """Windows of L transitions."""
        return Windows(train, self.length, which, device)

    def losses(self, batch: WindowBatch) -> Losses:
        """The own loss of each trained part, under its name."""
        parts = cast("Sequence[SASRec]", self.blend.parts)
        return {
            f"{name}_{term}": loss
            # Not strict: the parts behind the first two are not trained and have no loss.
            for name, part in zip(TRAINED, parts, strict=False)
            for term, loss in part.losses(batch).items()
        }

    def scorer(self, queries: Queries, cold: Tensor | None = None) -> BlockScores:
        """The blend's, which computes the vectors of all items once."""
        return self.blend.scorer(queries, cold)

    def scores(self, queries: Queries, low: int, high: int) -> NDArray[np.float64]:
        """The weighted sums of all items' scores for queries low…high-1, (B, N)."""
        return self.blend.scores(queries, low, high)

    @property
    def ranks_cold_items(self) -> bool:
        """Whether content is known of an item that nobody took: by the content neighbours it always is."""
        return self.blend.ranks_cold_items

    def scores_with_cold(self, queries: Queries, low: int, high: int, cold: Tensor) -> NDArray[np.float64]:
        """The same, (B, N), with `cold` items, (N,) bool, from content alone, as in a blend."""
        return self.blend.scores_with_cold(queries, low, high, cold)

    def weigh(self, validation: Queries) -> dict[str, float]:
        """Choose the parts' weights on `validation`, keep them, and say how much each decides."""
        self.eval()
        return dict(zip(PARTS, self.blend.choose(validation, PARTS).shares, strict=True))
