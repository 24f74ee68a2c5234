"""TSSR-Rank: what users did and what items look and read like, weighed candidate by candidate.

TSSR merges an ID stream and a content stream into one state of the user, and scores all items by it.
TSSR-Rank joins the two at the candidate instead: each candidate has features from actions (how often others
took it after the items of the history) and from content (its cosines with them), see `candidates`, and a
small network turns these into its score. So it can learn what a weighted sum of two scores cannot express:
for a candidate that few users have taken the cosines decide, and for one that many have taken, what they
took it after.

    history ─┬─ neighbours by order ───┐
             ├─ neighbours by content ─┼─ candidates ── features ── network ── score
             └─ popular items ─────────┘

The training samples are the last train actions of all users: the history before it, its candidates, and which
of them was taken. For them, features count all train actions except these last ones; otherwise the pair to be
predicted would have been counted in its own features. In validation and test, features count all train
actions. The loss is the cross-entropy of the target among the candidates (ListNet with one relevant item: Cao
et al., ICML 2007); a user whose target is not among the candidates is left out. In a ranking of all items,
those that are no candidates come after the candidates, ordered by popularity.

A cold item is hardly ever the target of such a sample, so the network learns to score it low, whatever its
content. With `--cold-share` a share of the items is treated as cold in training: their features from actions
are 0, and a user who took one of them last is a sample where its content alone makes it a candidate.
(DropoutNet also hides from training what actions tell about some items: Volkovs et al., NeurIPS 2017.)

Rank-ID is the same without content, among the candidates and in the features. It is the control that shows
what content adds.

Ranking candidates in a second stage is how recommender systems are built where catalogues are large
(Covington et al., RecSys 2016). On purpose different: the candidates come from neighbours alone, which need
no training, and all of the model is one run.

Shapes: B queries, N items, C candidates of a query, F features, T candidates of all samples.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.dataset import Histories, Queries
from ..core.errors import DataError
from ..core.progress import note, progress
from ..core.torchrun import current_world
from .candidates import DECIMALS, CandidateGenerator, Candidates
from .gathering import contribution_to_mean
from .kept_candidates import KeptCandidates
from .precision import in_float32
from .recommender import Losses, NeuralRecommender
from .settings import RankTSSRSettings
from .shapes import filled

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import RankIDSettings

AT_ONCE = 32  # histories in a block: the content vectors of their candidates fit into the processor's cache
USERS = 50_000  # training samples at most, evenly spread: enough for a network of some thousand weights


@dataclass(frozen=True)
class ListBatch:
    """B lists of candidates, whose `features` stand one after another, (P, F).

    `real` (B, C) are the places of a list that hold one, in the same order; `targets` (B,) are the places of
    what was taken.
    """

    features: Tensor
    real: Tensor
    targets: Tensor


class CandidateLists:
    """The candidates of many histories, and the one that was taken; stored without padding."""

    def __init__(
        self, generator: CandidateGenerator, train: Histories, device: torch.device, cold_share: float = 0.0
    ) -> None:
        """A share `cold_share` of the items is treated as cold, drawn anew for every block of users.

        Items without a train action are then in no list: they would be wrong answers that look like them.
        """
        # A sample takes a target and at least one action before it.
        users = np.flatnonzero(train.lengths >= 2)
        if len(users) > USERS:
            users = users[np.linspace(0, len(users) - 1, USERS).astype(np.int64)]
        targets = train.items[train.ends[users] - 1]
        # The same histories without their last action.
        asked = Histories(train.items, train.starts[users], train.ends[users] - 1, train.item_count)
        # (N + 1,): which items may stand in a list.
        listed = (train.counts() > 0) | (cold_share == 0)
        features, lengths, places = [], [], []
        with progress("gathering candidates", len(users), "users", shown=current_world().is_main) as advance:
            for low in range(0, len(users), AT_ONCE):
                # Drawn by torch, whose seed is the run's.
                cold = torch.rand(len(listed)).numpy() < cold_share if cold_share else None
                found = generator.candidates(asked, low, min(low + AT_ONCE, len(users)), cold)
                real = found.real & listed[found.items]
                taken = found.items == targets[low : low + AT_ONCE, None]
                # A user whose target is no candidate has no right answer in its list.
                learned = taken.any(axis=1)
                features.append(found.features[learned][real[learned]])
                lengths.append(real[learned].sum(axis=1))
                # Lists are stored without padding and without items that are not listed, so the target's
                # place is how many real ones stand before it.
                places.append((real.cumsum(axis=1) - 1)[taken])
                advance(len(taken))
        self.count = self.transitions = sum(map(len, lengths))
        note(
            f"the last train action is among the candidates of {self.count:,} of {len(users):,} users; the "
            "others are not learned from (--candidates takes more)"
        )
        if self.count == 0:
            raise DataError(
                "no user's last train action is among the neighbours of the actions before it, so "
                "there is nothing to learn from; take more candidates (--candidates) or another model"
            )
        self.features = torch.from_numpy(_joined(features)).to(device)  # (T, F)
        self._lengths = torch.from_numpy(np.concatenate(lengths)).to(device)
        self._starts = self._lengths.cumsum(0) - self._lengths
        self._places = torch.from_numpy(np.concatenate(places)).to(device)

    def batch(self, numbers: Tensor) -> ListBatch:
        """The lists with these numbers, padded to the longest of them."""
        lengths = self._lengths[numbers]
        # (B, C) with C the longest list: a place is real where the list reaches that far.
        places = torch.arange(int(lengths.max()) if len(numbers) else 0, device=lengths.device)
        real = places < lengths[:, None]
        # Row by row, as the mask takes them: (P, F).
        features = self.features[(self._starts[numbers, None] + places)[real]]
        return ListBatch(features, real, self._places[numbers])


def _joined(blocks: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The rows of all blocks in one array; each block is given up once it is copied.

    Features of 50,000 users take some 1.5 GB, and both lists at once would take twice that.
    """
    whole = np.empty((sum(map(len, blocks)), blocks[0].shape[1]), dtype=np.float32)
    filled_rows = len(whole)
    while blocks:
        block = blocks.pop()
        whole[filled_rows - len(block) : filled_rows] = block
        filled_rows -= len(block)
    return whole


class RankTSSR(NeuralRecommender):
    """A network over the features of each candidate."""

    length: int
    mean: Tensor
    deviation: Tensor

    def __init__(self, materials: Materials, settings: RankIDSettings | RankTSSRSettings) -> None:
        super().__init__()
        self.length, self.settings = materials.length, settings
        self._names, self._cold_share = [], 0.0
        if isinstance(settings, RankTSSRSettings):
            self._cold_share = settings.cold_share
            for type_ in materials.features():
                vectors = F.normalize(type_.centred(settings, materials.train_counts))
                self._names.append(f"content_{type_.name}")
                self.register_buffer(self._names[-1], vectors, persistent=False)  # (N + 1, D)
        self._generator = CandidateGenerator(
            materials.train, self._contents(), self.length, settings.candidates
        )
        # In training, when each validation asks about the same users.
        self._kept: KeptCandidates | None = None
        features = self._generator.feature_count
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        width, dropout = settings.width, settings.dropout
        self.network = nn.Sequential(
            nn.Linear(features, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, 1, bias=False),  # a bias would move all candidates alike
        )

    def _contents(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._names]

    def samples(self, train: Histories, which: str, device: torch.device) -> CandidateLists:
        """Each user's last train action among its candidates; `which` windows changes nothing."""
        # Train histories without their last action, which is the sample's target; an empty one stays empty.
        before = Histories(
            train.items, train.starts, np.maximum(train.ends - 1, train.starts), train.item_count
        )
        generator = CandidateGenerator(before, self._contents(), self.length, self.settings.candidates)
        lists = CandidateLists(generator, train, device, self._cold_share)
        self._kept = KeptCandidates(self._generator)
        # Features are brought to mean 0 and deviation 1. One that never varies would be divided by 0.
        self.mean.copy_(lists.features.mean(dim=0))
        deviation = lists.features.std(dim=0, correction=0)
        self.deviation.copy_(deviation.where(deviation > 0, 1))
        return lists

    def losses(self, batch: ListBatch) -> Losses:
        """The cross-entropy of the targets among their candidates."""
        # bfloat16 has two to three digits: cosines of 0.914 and 0.916 would be one number there.
        with in_float32(self.mean.device):
            answers = self.network(filled((batch.features - self.mean) / self.deviation))[:, 0]
        # Back to lists, (B, C). A place without a candidate has probability exp(-inf) = 0.
        logits = answers.new_full(batch.real.shape, -torch.inf)
        logits[batch.real] = answers[: len(batch.features)]
        return {"ce": contribution_to_mean(F.cross_entropy(logits, batch.targets, reduction="none"))}

    @property
    def ranks_cold_items(self) -> bool:
        """Whether the features include content, by which alone a cold item can be told from another."""
        return bool(self._names)

    def scores_with_cold(self, queries: Queries, low: int, high: int, cold: Tensor) -> NDArray[np.float64]:
        """The same as `scores`, (B, N): of a cold item nothing but content is known in any case.

        Those that are no candidates have been taken equally often, never, and tie behind all others.
        """
        return self.scores(queries, low, high)

    @torch.no_grad()
    def scores(self, queries: Queries, low: int, high: int) -> NDArray[np.float64]:
        """The network's scores of candidates, all other items below them by popularity, (B, N)."""
        self._generator.use(self._contents())  # they may have moved to a GPU since
        network = copy.deepcopy(self.network).double()
        taken = self._generator.train_counts[1:]
        # By popularity, the most popular at -1 and one that nobody took just above -2: all stay at least 1
        # below the lowest candidate.
        behind = (taken - taken.max(initial=0)) / (taken.max(initial=0) + 1) - 1.0  # (-2, -1]
        scores = np.empty((high - low, len(taken)))
        for start in range(low, high, AT_ONCE):
            end = min(start + AT_ONCE, high)
            found = (self._kept or self._generator).candidates(queries.histories, start, end)
            logits = self._logits(network, found)
            # (rows,): the lowest score of each row's candidates.
            lowest = np.min(logits, axis=1, where=found.real, initial=np.inf)
            # A view, so that what is written here is written into `scores`.
            block = scores[start - low : end - low]
            block[:] = lowest[:, None] + behind
            rows, places = np.nonzero(found.real)
            items = found.items[rows, places]
            block[rows, items - 1] = logits[rows, places]
        return scores

    def _logits(self, network: nn.Module, found: Candidates) -> NDArray[np.float64]:
        """The network's answers in float64, (B, C), so that neither block nor threads decide an order."""
        features = torch.from_numpy(found.features).to(self.mean.device).double()
        logits = network((features - self.mean.double()) / self.deviation.double()).squeeze(-1)
        answers: NDArray[np.float64] = logits.cpu().numpy().round(DECIMALS)
        return answers
