"""One share for each part of a blend, searched for on validation NDCG@10 from several starts.

A step takes one part m and tries shares w for it, from 0, .1 … 1 and then .05 and .025 around the best, as
`(1 - w) * rest + w * m`, where the rest are the other parts in the proportions they have. So each step may
also take a part out again (w = 0). Example: from the shares .6, .4 and 0, w = .1 for the third gives .54,
.36 and .1. A round takes one step for each part: first those without a share, the best first,
then those with one, the best first. Rounds end when one improves nothing, at the latest after ROUNDS.

Such a search stops where no single share is worth changing, and that may be below what two of the parts
give alone. On Amazon's Toys four parts, started from the best one, stopped at .0856 in validation where two
of them alone give .0865. So the search starts from each part alone and from the best pair, and keeps the
best result. That is never below any part alone or any pair that was tried.

Shapes: M parts, Q users, C listed items of a user (`blend_weights` says which these are), U users that shares
decide about, R rivals of their targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

LENGTH = 10  # of the lists whose NDCG is compared; as in evaluation, a rank below 11 is a hit, 10.5 too
STEPS = tuple(step / 10 for step in range(11))  # shares tried for a part
FINER = (0.05, 0.025)  # then the best so far, less and more these
ROUNDS = 4  # at most, from each start


@dataclass(frozen=True)
class Rivals:
    """The listed items of which it depends on the shares whether they stand before or behind the target.

    An item that every part scores below the target is below it in every weighted sum, and is left out. So is
    a user for whom at least ten items score above the target with every part: no shares bring that target
    into a list of ten. Leaving both out changes no NDCG; 28 % of the pairs of user and listed item remained
    on Toys. `lead` (M, R) is each rival's score less the target's, for each part; `user` (R,) is
    the user, 0…U-1, whose rival it is.
    """

    lead: Tensor
    user: Tensor
    users: int
    asked: int

    @classmethod
    def of(cls, scores: Tensor, counted: Tensor) -> Rivals:
        """Find the rivals: scores (M, Q, C), and which items count (Q, C); column 0 is the target."""
        # (M, Q, C - 1): by how much each item scores above the user's target, for each part.
        lead = scores[:, :, 1:] - scores[:, :, :1]
        others = counted[:, 1:]
        # Items that stand before the target under any shares.
        ahead = ((lead > 0).all(dim=0) & others).sum(dim=1)
        open_users = (ahead < LENGTH) & counted[:, 0]
        rivals = (lead >= 0).any(dim=0) & others & open_users[:, None]
        # Open users are numbered anew, 0…U-1. Example: of users open, closed, open the third is number 1.
        number = open_users.cumsum(0) - 1
        user = number[rivals.nonzero()[:, 0]]
        return cls(lead[:, rivals], user, int(open_users.sum()), len(counted))

    def ndcg(self, shares: Tensor) -> float:
        """The mean NDCG@10 of all Q users under `shares` (M,), none negative; equal scores by mid-rank."""
        # Above 0 the blend puts the rival before the target; a tie counts as half a place.
        lead = shares @ self.lead
        before = (lead > 0).float() + 0.5 * (lead == 0).float()
        rank = torch.ones(self.users).index_add_(0, self.user, before)
        # Users who were left out gain 0 but count in the mean, hence the division by all who were asked.
        gains = (rank < LENGTH + 1) / torch.log2(1 + rank)
        return float(gains.double().sum()) / self.asked


def best_shares(rivals: Rivals, alone: Sequence[float]) -> Tensor:
    """The shares (M,), summing to 1, of the best of all starts; `alone` is each part's own NDCG."""
    each = torch.eye(len(alone))
    order = sorted(range(len(alone)), key=lambda m: -alone[m])
    # The best share of a second part beside each first one: (shares, NDCG) of every pair.
    pairs = [_with_share(rivals, each[first], second) for first, second in combinations(order, 2)]
    starts = [(each[m], alone[m]) for m in order]
    if pairs:
        starts.append(max(pairs, key=lambda pair: pair[1]))
    ends = [_climbed(rivals, shares, value, order) for shares, value in starts]
    return max(ends, key=lambda end: end[1])[0]  # of equals the first


def _climbed(rivals: Rivals, shares: Tensor, value: float, order: Sequence[int]) -> tuple[Tensor, float]:
    """Improve the shares part by part in this `order` until a round gains nothing; also their NDCG."""
    # False sorts before True: first the parts without a share. The sort keeps the order within both.
    turns = sorted(order, key=lambda part: bool(shares[part]))
    for _ in range(ROUNDS):
        before = value
        for part in turns:
            if shares[part] == 1:
                continue  # alone: there is no rest to share with
            changed, found = _with_share(rivals, shares, part)
            if found > value:
                shares, value = changed, found
        if value == before:
            break
    return shares, value


def _with_share(rivals: Rivals, shares: Tensor, part: int) -> tuple[Tensor, float]:
    """The shares (M,) with the best one for `part`, the others in proportion, and their NDCG."""
    own = torch.eye(len(shares))[part]
    # The other parts, scaled to sum to 1.
    rest = shares * (1 - own)
    rest = rest / rest.sum()
    found: dict[float, float] = {}
    tried, steps = list(STEPS), list(FINER)
    while tried:
        for share in tried:
            if 0 <= share <= 1 and share not in found:
                found[share] = rivals.ndcg((1 - share) * rest + share * own)
        best = max(found, key=lambda share: found[share])
        # Example: .3 was best of 0, .1 … 1, so .25 and .35 are tried, then .025 to both sides of the best.
        tried = [best - steps[0], best + steps.pop(0)] if steps else []
    return (1 - best) * rest + best * own, found[best]
