"""The customers of the generated shop: their taste, their visits and purchases; shop.py says by what law."""

from __future__ import annotations

import math
import random
from typing import NamedTuple

import numpy as np

from .looks import COLOURS, DARK, LIGHT, MEDIUM, PATTERNS
from .shop import DAYS, Shop, Taste

FEWEST_PURCHASES, MORE_PURCHASES = 5, 2.5  # of a customer: at least, and how many more on average
NEW_VISIT = 0.25  # how often a purchase is the first of a new visit
GAP_MEDIAN, GAP_SIGMA = 45.0, 1.5  # days between visits


class Bought(NamedTuple):
    """One purchase: the day, counted from the first, and the article's index."""

    day: int
    article: int


def draw_taste(rng: random.Random) -> Taste:
    """A customer's taste."""
    families = sorted({colour.family for colour in COLOURS})
    patterns = [pattern.name for pattern in PATTERNS]
    weights = [pattern.weight for pattern in PATTERNS]
    return Taste(
        families=frozenset(rng.sample(families, k=2)),
        patterns=frozenset(rng.choices(patterns, weights, k=2)),
        shade=rng.choice((LIGHT, MEDIUM, DARK)).name,
    )


def draw_purchases(shop: Shop, taste: Taste, rng: random.Random) -> list[Bought]:
    """One customer's purchases, oldest first."""
    liking = shop.liking(taste)
    bought: list[Bought] = []
    days = _draw_days(rng)
    for number, day in enumerate(days):
        history = [purchase.article for purchase in bought]
        if number and day == days[number - 1]:
            chances = shop.next_in_visit(liking, history[-1], day)
        else:
            chances = shop.first_of_visit(liking, day, history)
        article = int(np.searchsorted(np.cumsum(chances), rng.random(), side="right"))
        bought.append(Bought(day, min(article, len(chances) - 1)))
    return bought


def _draw_days(rng: random.Random) -> list[int]:
    """The day of each purchase, in order; those of one visit have the same."""
    days = [0]
    more = FEWEST_PURCHASES - 1 + _poisson(MORE_PURCHASES, rng)
    for _ in range(more):
        gap = 0
        if rng.random() < NEW_VISIT:
            gap = 1 + math.floor(rng.lognormvariate(math.log(GAP_MEDIAN), GAP_SIGMA))
        days.append(days[-1] + gap)
    span = min(days[-1], DAYS - 1)
    first = rng.randrange(DAYS - span)
    return [first + min(day, span) for day in days]


def _poisson(mean: float, rng: random.Random) -> int:
    """How many unit-rate arrivals fit into `mean`."""
    count, time = 0, rng.expovariate(1.0)
    while time < mean:
        count, time = count + 1, time + rng.expovariate(1.0)
    return count
