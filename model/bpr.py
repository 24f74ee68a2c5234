"""BPR-MF: a vector for each user and item, trained to put a taken item above one not taken.

Rendle et al., UAI 2009 (arXiv 1205.2618); reference: RecBole's BPR: Xavier start, no bias, one negative drawn
evenly from items that the user did not take, here from those that occur in training alone. On purpose
different: the L2 weight is an option.
Every train action is a positive example, whatever --train-windows says: this model reads no windows. A user
without a train action has no learned vector and gets the mean of the vectors of the items in the history; of
an empty history that is a vector of zeros, by which all items score alike.

Shapes: P actions, B queries, U users, N items, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.dataset import Histories, Queries
from .batches import ActionBatch, ActionSamples
from .gathering import contribution_to_mean, total_count
from .negatives import Negatives
from .recommender import Losses, NeuralRecommender

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import BPRSettings


class BPRMF(NeuralRecommender):
    """Inner products of user and item vectors."""

    trained: Tensor

    def __init__(self, materials: Materials, settings: BPRSettings) -> None:
        super().__init__()
        self.settings = settings
        self.users = nn.Parameter(torch.empty(len(materials.train), settings.width))
        self.vectors = nn.Parameter(torch.empty(materials.item_count, settings.width))
        nn.init.xavier_normal_(self.users)
        nn.init.xavier_normal_(self.vectors)
        self.negatives = Negatives(materials.train)
        self.register_buffer("trained", torch.from_numpy(materials.train.lengths > 0), persistent=False)

    def samples(self, train: Histories, which: str, device: torch.device) -> ActionSamples:
        """Every train action."""
        return ActionSamples(train, device)

    def losses(self, batch: ActionBatch) -> Losses:
        """-log sigmoid(taken - not taken), and the weighted squared lengths."""
        users = self.users[batch.users]
        taken = self.vectors[batch.items - 1]
        other = self.vectors[self.negatives.draw(batch.users) - 1]
        # Score of the taken item less that of the other: u · i - u · j = u · (i - j).
        terms: Losses = {"bpr": contribution_to_mean(-F.logsigmoid((users * (taken - other)).sum(dim=1)))}
        if self.settings.l2:
            squares = torch.cat([users, taken, other]).square().sum()
            terms["l2"] = self.settings.l2 * squares / total_count(len(users))
        return terms

    def encode_queries(self, queries: Queries, low: int, high: int) -> Tensor:
        """The users' vectors, (B, D)."""
        numbers = torch.from_numpy(queries.users[low:high].astype(np.int64)).to(self.users.device)
        # A user asked about may be unknown (then row 0 is read for now), or known without a train action.
        # Both get the mean of their history's items.
        known = (numbers >= 0) & (numbers < len(self.users))
        numbers = numbers.where(known, 0)
        known &= self.trained[numbers]
        states = self.users[numbers]
        rows = (~known).nonzero()[:, 0]
        states[rows] = self._means(queries.histories.part(low, high).take(rows.cpu().numpy()))
        return states

    def _means(self, histories: Histories) -> Tensor:
        """The mean vector of each history's items, (B, D); zeros for an empty history."""
        items = torch.from_numpy(histories.flat().astype(np.int64)).to(self.vectors.device)
        # Where each history begins among the items of all. Example: lengths 2, 0, 3 begin at 0, 2, 2.
        begins = torch.from_numpy(np.cumsum(histories.lengths) - histories.lengths).to(items.device)
        return F.embedding_bag(items - 1, self.vectors, begins, mode="mean")

    def items(self) -> tuple[Tensor, Tensor]:
        """The items' vectors (N, D), and no bias: zeros (N,)."""
        return self.vectors, self.vectors.new_zeros(len(self.vectors))
