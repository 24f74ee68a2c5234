"""Is one model better than another, or did it meet kinder users? Paired tests over the users of a split.

Both models answer the same users, so what counts is each user's difference, averaged over the seeds. The
p-value is a sign-flip permutation test's (were the models equal, either sign would be as likely), the
interval a bootstrap's over users. The trained runs are taken as they are: how much another training would
differ is what the deviation over seeds shows, and no part of the test. Users with equal differences are drawn
together, as counts from a binomial or multinomial distribution: the same answer, at a cost that depends on
how many values there are, not users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..core.errors import ArtifactError
from .rank_metrics import ndcg_at
from .ranking import Ranks
from .scoring import Float64
from .settings import Mask

DRAWS = 9_999
CONFIDENCE = 0.95
DECIMALS = 12  # sums in another order differ in later ones, and each value that differs costs draws
_NUMBERS_AT_ONCE = 1 << 22  # drawn counts held in one step


@dataclass(frozen=True)
class PairedTest:
    """A mean difference with its confidence interval, and how likely chance alone is to make one as large.

    `adjusted` is the p-value after Holm's correction for all the tests that were made together. `seed_error`
    is the standard error of the difference over the seeds, None where there is one seed.
    """

    difference: float
    low: float
    high: float
    p_value: float
    adjusted: float
    seed_error: float | None = None

    def describe(self) -> str:
        """The test in one line."""
        seeds = "" if self.seed_error is None else f"; standard error over seeds {self.seed_error:.4f}"
        return (
            f"{self.difference:+.4f} ({CONFIDENCE:.0%} interval {self.low:+.4f} to {self.high:+.4f}), "
            f"p = {self.adjusted:.2g} after Holm's correction{seeds}"
        )

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def paired_test(differences: Float64, seed: int = 1) -> PairedTest:
    """Test whether the mean of the users' differences, (U,), is 0; two-sided."""
    draw = np.random.default_rng(seed)
    difference = float(differences.mean())
    low, high = _bootstrap_interval(differences, draw)
    p_value = _permutation_p_value(differences, draw)
    return PairedTest(difference, low, high, p_value, adjusted=p_value)


@dataclass(frozen=True)
class MeanInterval:
    """A mean over users, and the bootstrap's interval for it."""

    mean: float
    low: float
    high: float


def mean_interval(values: Float64, seed: int = 1) -> MeanInterval:
    """The mean of the users' values, (U,), and where it would lie had other users been asked."""
    return MeanInterval(float(values.mean()), *_bootstrap_interval(values, np.random.default_rng(seed)))


def _bootstrap_interval(values: Float64, draw: np.random.Generator) -> tuple[float, float]:
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(_bootstrap_means(values, draw), (tail, 100 - tail))
    return float(low), float(high)


def _bootstrap_means(differences: Float64, draw: np.random.Generator) -> Float64:
    """The means of as many users drawn with replacement, (DRAWS,)."""
    values, counts = np.unique(differences.round(DECIMALS), return_counts=True)
    users = len(differences)
    sums = [draw.multinomial(users, counts / users, size=size) @ values for size in _step_sizes(len(values))]
    means: Float64 = np.concatenate(sums) / users
    return means


def _permutation_p_value(differences: Float64, draw: np.random.Generator) -> float:
    """The p-value: the share of random signs, the given ones included, with a sum at least as far from 0."""
    sizes, counts = np.unique(np.abs(differences.round(DECIMALS)), return_counts=True)
    rounding = 1e-9 * float(sizes @ counts)
    reached = abs(float(differences.sum())) - rounding
    extreme = 1
    for size in _step_sizes(len(sizes)):
        positive = draw.binomial(counts, 0.5, size=(size, len(sizes)))
        extreme += int(np.count_nonzero(np.abs((2 * positive - counts) @ sizes) >= reached))
    return extreme / (DRAWS + 1)


def _step_sizes(values: int) -> list[int]:
    """How many draws each step makes, so that its counts of `values` different values fit into memory."""
    step = max(1, _NUMBERS_AT_ONCE // values)
    return [min(step, DRAWS - first) for first in range(0, DRAWS, step)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: with it, the chance of any false alarm stays below the level.

    >>> [round(p, 4) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def user_ndcg(ranks: Sequence[Ranks], mask: Mask, k: int) -> Float64:
    """Each user's NDCG@k, (U,), averaged over `ranks`, one a seed.

    Raises ArtifactError where they are of different users or targets.
    """
    for other in ranks[1:]:
        _same_questions(ranks[0], other)
    mean: Float64 = np.mean([ndcg_at(one.by_mask[mask], k) for one in ranks], axis=0)
    return mean


def against_each(
    focus: Sequence[Ranks], others: Mapping[str, Sequence[Ranks]], mask: Mask, k: int
) -> dict[str, PairedTest]:
    """Test the NDCG@k of a model against each of some others; all have one `Ranks` a seed.

    Raises ArtifactError where the models were asked different questions.
    """
    tests = {}
    for name, ranks in others.items():
        _same_questions(focus[0], ranks[0])
        test = paired_test(user_ndcg(focus, mask, k) - user_ndcg(ranks, mask, k))
        tests[name] = replace(test, seed_error=_seed_error(focus, ranks, mask, k))
    adjusted = holm([test.p_value for test in tests.values()])
    return {name: replace(test, adjusted=p) for (name, test), p in zip(tests.items(), adjusted, strict=True)}


def _seed_error(focus: Sequence[Ranks], other: Sequence[Ranks], mask: Mask, k: int) -> float | None:
    """The standard error of the difference over seeds; a model that is not trained is the same at each."""
    seeds = max(len(focus), len(other))
    if seeds == 1:
        return None
    means = [
        np.broadcast_to([ndcg_at(one.by_mask[mask], k).mean() for one in ranks], seeds)
        for ranks in (focus, other)
    ]
    return float(np.std(means[0] - means[1], ddof=1) / seeds**0.5)


def _same_questions(one: Ranks, other: Ranks) -> None:
    if not (np.array_equal(one.users, other.users) and np.array_equal(one.targets, other.targets)):
        raise ArtifactError(
            "the ranks to compare are of different users or targets; make them again with: "
            "tssr evaluate --force"
        )
