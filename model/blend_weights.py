"""The weights of a blend's parts, chosen on validation NDCG@10 by a few small searches.

The listed items of a user are the target and the 200 best items of each part. An item beyond all these lists
hardly ever enters the blend's top 10, so leaving it out changes no choice of weights. A part's scores are
first shifted and scaled to mean 0 and deviation 1 over the listed items, so that weights of parts with small
and with large scores can be compared. Then come up to three searches, each from the result of the one before:

1. A share for each part, from several starts (`blend_shares`).
2. By class of the item, where there are classes: each part's weight in each class is multiplied by the best
   of 0, ¼, ½, .7, 1, 1.4, 2, 4, one after another.
3. By class of the user, where there are classes: likewise, but for the first part, since for a single user
   only the proportions count.

The first search chooses a few numbers from thousands of users. The other two choose many more and could fit
chance, so the result of each is kept only where its mean gain over users is more than its standard error. All
maximise NDCG itself and not a convex stand-in such as cross-entropy, because lists are judged by NDCG.

Shapes: M parts, Q users, N items, C listed items of a user, K classes of items, G classes of users.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .blend_shares import LENGTH, Rivals, best_shares

LISTED = 200  # best items of each part that count as listed
FACTORS = (0.0, 0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 4.0)


@dataclass(frozen=True)
class ListedItems:
    """The parts' scores of each user's listed items; column 0 is the target.

    `scores` (M, Q, C); `items` (Q, C) are numbered from 0. `counted` (Q, C) is False for an item that
    stands in the row a second time, because two parts list it, and for one that may not be recommended.
    """

    scores: Tensor
    items: Tensor
    counted: Tensor

    @classmethod
    def of(cls, blocks: Iterable[tuple[Sequence[Tensor], Tensor, Tensor | None]]) -> ListedItems:
        """Collect them from blocks of all scores: M of (B, N), the targets 0…N-1 (B,), skipped items.

        The skipped item of each query, (B,), may not be recommended; -1 stands for none, and None in place
        of the whole array says that no query has one.
        """
        listed = [_listed(*block) for block in blocks]
        scores, items, counted = zip(*listed, strict=True)
        return cls(torch.cat(scores, dim=1), torch.cat(items), torch.cat(counted))


def _listed(
    scores: Sequence[Tensor], targets: Tensor, skipped: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    # The best items of each part, (B, up to 200). Sorted together, an item that two parts list stands
    # beside itself, and comparing neighbours shows it.
    best = [own.topk(min(LISTED, own.shape[1])).indices for own in scores]
    items, _ = torch.cat(best, dim=1).sort(dim=1)
    counted = torch.ones_like(items, dtype=torch.bool)
    counted[:, 1:] = items[:, 1:] != items[:, :-1]
    # The target has a column of its own, the first, so it does not count among the lists.
    counted &= items != targets[:, None]
    if skipped is not None:
        counted &= items != skipped[:, None]
    items = torch.cat([targets[:, None], items], dim=1)
    # A user whose target may not be recommended can gain nothing.
    hit = torch.ones_like(counted[:, :1]) if skipped is None else (targets != skipped)[:, None]
    found = torch.stack([own.float().gather(1, items) for own in scores])
    return found, items, torch.cat([hit, counted], dim=1)


@dataclass(frozen=True)
class BlendWeights:
    """Part m adds `of_user[m, class of user] * of_item[m, class of item] * (score - shift[m])`.

    Shapes (M, G), (M, K), (M,). `ndcg` is the NDCG@10 among the listed items after each search that there
    was, by name: each part alone, then `together`, `by popularity`, `by history`. `shares`, summing to 1, is
    how much each part decides: its weight for scores of deviation 1, the mean over classes.
    """

    of_item: Tensor
    of_user: Tensor
    shift: Tensor
    shares: list[float]
    ndcg: dict[str, float]


def choose_weights(
    listed: ListedItems,
    names: Sequence[str],
    item_class: Tensor | None = None,
    user_class: Tensor | None = None,
) -> BlendWeights:
    """Choose a weight for each part, and for each class of items (N,) and users (Q,) where they are given.

    Classes are numbers from 0 on; `names` are those of the parts.
    """
    judge, shift, scale = _judge(listed, item_class, user_class)
    of_user = torch.ones(len(names), judge.groups)
    rivals = Rivals.of(judge.scores, judge.counted)
    # The rows of the unit matrix are the shares of one part alone.
    alone = [rivals.ndcg(own) for own in torch.eye(len(names))]
    found = dict(zip(names, alone, strict=True))
    shares = best_shares(rivals, alone)
    # The second search starts from the same weight in all classes.
    of_item = shares[:, None].repeat(1, judge.kinds)
    found["together"] = judge.mean(of_item, of_user)
    used = shares.nonzero()[:, 0].tolist()
    if judge.kinds > 1 and len(used) > 1:
        judge.multiply(of_item, [(m, k) for k in range(judge.kinds) for m in used], of_item, of_user)
        found["by popularity"] = judge.mean(of_item, of_user)
    if judge.groups > 1 and len(used) > 1:
        # The first of the parts in use keeps the weight 1: multiplying all by 2 would change no order.
        judge.multiply(of_user, [(m, g) for g in range(judge.groups) for m in used[1:]], of_item, of_user)
        found["by history"] = judge.mean(of_item, of_user)
    # Scores have deviation 1 here, so the weights' sizes tell how much each part decides.
    sizes = of_item.mean(dim=1) * of_user.mean(dim=1)
    # The search weighs (score - shift) / scale; what is kept weighs (score - shift), so the
    # scale goes into the weights.
    return BlendWeights(of_item / scale[:, None], of_user, shift, (sizes / sizes.sum()).tolist(), found)


def _judge(
    listed: ListedItems, item_class: Tensor | None, user_class: Tensor | None
) -> tuple[_Judge, Tensor, Tensor]:
    """The listed items with standardised scores, and the shift and the scale of each part, (M,)."""
    said = listed.scores[:, listed.counted]  # (M, how many)
    shift, scale = said.mean(dim=1), said.std(dim=1)
    scale = torch.where(scale > 0, scale, 1.0)  # 0 is of a part that scores all items alike
    scores = (listed.scores - shift[:, None, None]) / scale[:, None, None]
    items = listed.items
    by_item = torch.zeros_like(items) if item_class is None else item_class[items]
    by_user = torch.zeros_like(items[:, 0]) if user_class is None else user_class
    kinds = 1 if item_class is None else int(item_class.max()) + 1
    groups = 1 if user_class is None else int(user_class.max()) + 1
    return _Judge(scores, listed.counted, by_item, by_user, kinds, groups), shift, scale


@dataclass(frozen=True)
class _Judge:
    """Standardised scores (M, Q, C) with the class of each item (Q, C) and user (Q,)."""

    scores: Tensor
    counted: Tensor
    item_class: Tensor
    user_class: Tensor
    kinds: int
    groups: int

    def each(self, of_item: Tensor, of_user: Tensor) -> Tensor:
        """Each user's NDCG@10, (Q,), equal scores by mid-rank: weights (M, K) and (M, G)."""
        total = torch.zeros(self.counted.shape)
        for m, scores in enumerate(self.scores):
            if of_item[m].any():
                # (Q, C): by class of item, times (Q, 1): by class of user.
                weight = of_item[m, 0] if self.kinds == 1 else of_item[m, self.item_class]
                total += scores * weight * of_user[m, self.user_class, None]
        total = total.masked_fill(~self.counted, -torch.inf)
        goal = total[:, :1]
        # Mid-rank: one place for each item above the target, half a place for each that ties with it.
        rank = 1 + (total[:, 1:] > goal).sum(dim=1) + 0.5 * (total[:, 1:] == goal).sum(dim=1)
        return (rank < LENGTH + 1) * self.counted[:, 0] / torch.log2(1 + rank)

    def mean(self, of_item: Tensor, of_user: Tensor) -> float:
        """The mean over users."""
        return float(self.each(of_item, of_user).double().mean())

    def multiply(
        self, changed: Tensor, cells: Sequence[tuple[int, int]], of_item: Tensor, of_user: Tensor
    ) -> None:
        """Multiply cells of `changed`, one of the two tables of weights, by the factors that gain most."""
        before = self.each(of_item, of_user)
        for cell in cells:
            start = changed[cell].clone()
            found = {}
            for factor in FACTORS:
                changed[cell] = factor * start
                # (Q,): the NDCG of each user with this one cell changed.
                found[factor] = before if factor == 1 else self.each(of_item, of_user)
            factor = max(FACTORS, key=lambda factor: float(found[factor].double().mean()))
            gains = (found[factor] - before).double()
            # A mean gain within one standard error may be chance, so the cell then stays as it was. For
            # factor 1 all gains are 0, and it stays as well.
            if gains.mean() <= gains.std() / len(gains) ** 0.5:
                factor = 1.0
            changed[cell] = factor * start
            before = found[factor]
