"""Is one model better than another, or could chance explain the difference? Paired tests over users.

Both models rank for the same users, so the test looks at each user's difference in NDCG, averaged over the
seeds. The p-value comes from a sign-flip permutation test: if the models were equally good, a user's
difference would be as likely to have the other sign. The confidence interval comes from a bootstrap over
users. Both treat the trained runs as given. How much other trainings would differ is the standard error over
seeds, and a second p-value takes both users and trainings as drawn at random (`p_of_both`).

Most users have one of few differences, for instance 0 where both models miss. So users with equal differences
are drawn together, as one count from a binomial or multinomial distribution. The distribution is the same as
drawing user by user, and the cost depends on the number of different values, not of users. Differences
averaged over seeds may have as many values as there are users. Then the signs of rare values are drawn for
eight users at a time from one random byte, and the bootstrap rounds the values to `_STEPS` steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..core.dataset import Float64
from ..core.errors import ArtifactError
from .rank_metrics import ndcg_at
from .ranking import Ranks
from .settings import Mask

DRAWS = 9_999
CONFIDENCE = 0.95
DECIMALS = 12  # rounded to these, differences that are equal but summed in another order count as one value
_NUMBERS_AT_ONCE = 1 << 22  # drawn counts held in one step
_STEPS = 512  # up to this many different values, the bootstrap draws without rounding
_OFTEN = 256  # a value of at least this many users is drawn binomially; of fewer, random bytes are cheaper
_EIGHTS_AT_ONCE = 128  # groups of eight users whose tables of 256 sums fit a processor's cache


@dataclass(frozen=True)
class PairedTest:
    """A mean difference, its confidence interval, and the probability of one as large by chance alone.

    `adjusted` is the p-value after Holm's correction for all the tests that were made together. `seed_error`
    is the standard error of the difference over the seeds, and `p_all` the p-value that takes users and
    trainings as drawn at random, without a correction; both are None where the models have fewer than two
    seeds in common.
    """

    difference: float
    low: float
    high: float
    p_value: float
    adjusted: float
    seed_error: float | None = None
    p_all: float | None = None

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
    """The mean of the users' values, (U,), and a bootstrap confidence interval for other such users."""
    return MeanInterval(float(values.mean()), *_bootstrap_interval(values, np.random.default_rng(seed)))


def _bootstrap_interval(values: Float64, draw: np.random.Generator) -> tuple[float, float]:
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(_bootstrap_means(values, draw), (tail, 100 - tail))
    return float(low), float(high)


def _bootstrap_means(differences: Float64, draw: np.random.Generator) -> Float64:
    """The means of as many users drawn with replacement, (DRAWS,).

    More than `_STEPS` different values are rounded to that many, evenly spaced, and the error that rounding
    makes in the mean is added back. A single value is off by a thousandth of the range at most, some up and
    some down, so the interval changes far less than it varies between 9,999 draws and another 9,999.
    """
    values, counts = np.unique(differences.round(DECIMALS), return_counts=True)
    users = len(differences)
    if len(values) > _STEPS:
        width = (values[-1] - values[0]) / (_STEPS - 1)
        # The nearest of the evenly spaced values, and how many users have it.
        step = np.rint((values - values[0]) / width).astype(np.int64)
        counts = np.bincount(step, counts, _STEPS)
        values = values[0] + width * np.arange(_STEPS)
    # What rounding has changed in the mean.
    lost = float(differences.mean()) - float(counts @ values) / users
    # Drawing U users with replacement and counting their values is one multinomial draw of counts.
    sums = [draw.multinomial(users, counts / users, size=size) @ values for size in _step_sizes(len(values))]
    means: Float64 = np.concatenate(sums) / users + lost
    return means


def _permutation_p_value(differences: Float64, draw: np.random.Generator) -> float:
    """The p-value: the share of sign assignments whose sum is at least as far from 0 as the observed one.

    The observed signs count as one of the assignments, so that p is never 0.
    """
    sizes, counts = np.unique(np.abs(differences.round(DECIMALS)), return_counts=True)
    # A sum in another order may be smaller by the last bits; it must still reach the observed one.
    rounding = 1e-9 * float(sizes @ counts)
    reached = abs(float(differences.sum())) - rounding
    # With few different values all are drawn binomially.
    often = counts >= (_OFTEN if len(sizes) > _STEPS else 0)
    sums = _sums_of_eights(np.repeat(sizes[~often], counts[~often]), draw)
    sizes, counts = sizes[often], counts[often]
    first = 0
    for size in _step_sizes(len(sizes)):
        # How many of the users with the same size of difference get a positive sign: p of c users with size s
        # add up to p s - (c - p) s = (2p - c) s.
        positive = draw.binomial(counts, 0.5, size=(size, len(sizes)))
        sums[first : first + size] += (2 * positive - counts) @ sizes
        first += size
    # The 1 is the assignment that was observed.
    extreme = 1 + int(np.count_nonzero(np.abs(sums) >= reached))
    return extreme / (DRAWS + 1)


def _sums_of_eights(sizes: Float64, draw: np.random.Generator) -> Float64:
    """Sums of users' differences of these sizes, (M,), each with a random sign: (DRAWS,) of them.

    Eight users have 256 combinations of signs. Their sums are a table, and a random byte takes one of them:
    a draw for 100,000 users reads 12,500 numbers.
    """
    sums = np.zeros(DRAWS)
    # (256, 8): row b has the eight signs that the bits of b stand for, 1 for a bit of 0 and -1 for one of 1.
    signs = 1 - 2 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float64)
    eights = np.append(sizes, np.zeros(-len(sizes) % 8)).reshape(-1, 8)  # a 0 changes no sum
    for first in range(0, len(eights), _EIGHTS_AT_ONCE):
        tables = eights[first : first + _EIGHTS_AT_ONCE] @ signs.T  # (G, 256)
        # The tables of G groups lie one after another, so entry b of table g has the place 256 g + b.
        starts = 256 * np.arange(len(tables))
        chosen = draw.integers(0, 256, (DRAWS, len(tables)), dtype=np.uint8) + starts
        sums += tables.ravel()[chosen].sum(axis=1)
    return sums


def _step_sizes(values: int) -> list[int]:
    """How many draws each step makes, so that its counts of `values` different values fit into memory."""
    step = max(1, _NUMBERS_AT_ONCE // max(1, values))
    return [min(step, DRAWS - first) for first in range(0, DRAWS, step)]


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values after Holm's step-down correction for several tests.

    Calling a difference real where its corrected p is below .05 keeps the probability of even one false
    finding among all tests below .05.

    >>> [round(p, 4) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def p_of_both(differences: Float64, seed_error: float) -> float:
    """The p-value of the mean difference of U > 1 users, (U,), with users and trainings drawn at random.

    The difference is divided by the root of the sum of two squares, its standard error over users and that
    over seeds, and the quotient is compared with a normal distribution; two-sided. What a training does to
    some users alone is in both errors, which makes p too large rather than too small; few seeds make it too
    small, because their error is itself uncertain.
    Example: +.0023 with errors of .0010 over users and .0007 over seeds is 1.88 errors from 0, and p is .06.
    """
    user_error = float(np.std(differences, ddof=1)) / len(differences) ** 0.5
    error = math.hypot(user_error, seed_error)
    difference = abs(float(differences.mean()))
    if error == 0:  # every user and every training has the same difference
        return 1.0 if difference == 0 else 0.0
    return math.erfc(difference / error / math.sqrt(2))


def user_ndcg(ranks: Iterable[Ranks], mask: Mask, k: int) -> Float64:
    """Each user's NDCG@k, (U,), averaged over `ranks`, one a seed.

    Raises ArtifactError where they are of different users or targets.
    """
    first, *others = ranks
    for other in others:
        _same_questions(first, other)
    mean: Float64 = np.mean([ndcg_at(one.by_mask[mask], k) for one in (first, *others)], axis=0)
    return mean


def against_each(
    focus: Mapping[int, Ranks], others: Mapping[str, Mapping[int, Ranks]], mask: Mask, k: int
) -> dict[str, PairedTest]:
    """Test the NDCG@k of a model against each of some others; all have one `Ranks` a seed, by seed.

    An untrained model has the same one at each. A trained model may lack seeds, at which it diverged.
    Raises ArtifactError where the models were asked different questions.
    """
    tests = {}
    mine = user_ndcg(focus.values(), mask, k)
    for name, ranks in others.items():
        _same_questions(next(iter(focus.values())), next(iter(ranks.values())))
        differences = mine - user_ndcg(ranks.values(), mask, k)
        test, error = paired_test(differences), _seed_error(focus, ranks, mask, k)
        p_all = None if error is None or len(differences) < 2 else p_of_both(differences, error)
        tests[name] = replace(test, seed_error=error, p_all=p_all)
    adjusted = holm([test.p_value for test in tests.values()])
    return {name: replace(test, adjusted=p) for (name, test), p in zip(tests.items(), adjusted, strict=True)}


def _seed_error(focus: Mapping[int, Ranks], other: Mapping[int, Ranks], mask: Mask, k: int) -> float | None:
    """The standard error of the difference over the seeds that both models have; None below two of these.

    The difference itself is of the means over all seeds that each model has, as the tables show them. Where
    one has more seeds than are common, the error is rather too large than too small.
    """
    seeds = sorted(focus.keys() & other.keys())
    if len(seeds) < 2:
        return None
    # (seeds,): the mean NDCG of each run.
    mine, theirs = (
        [ndcg_at(ranks[seed].by_mask[mask], k).mean() for seed in seeds] for ranks in (focus, other)
    )
    return float(np.std(np.subtract(mine, theirs), ddof=1) / len(seeds) ** 0.5)


def _same_questions(one: Ranks, other: Ranks) -> None:
    if not (np.array_equal(one.users, other.users) and np.array_equal(one.targets, other.targets)):
        raise ArtifactError(
            "the ranks to compare are of different users or targets; make them again with: "
            "tssr evaluate --force"
        )
