"""Who buys what in the generated shop, and when.

The mechanism was written down, and its numbers set, before any model saw it: from a sample of H&M's real
purchases (1,364 customers, 31,662 rows) and from the size of the paper's H&M set (6.9 actions a user).
There, what one customer buys one after another has more in common than chance has it; below, "excess" is that
surplus as a share of what it could be: 0 is chance, 1 is always.

1. Articles come and go: a product's season lasts about 160 days (an article's sales lie 54 days apart, which an
   even season three times as long gives), and what is sold outside it is leftovers.
2. Most articles are rare: their sales follow a log-normal law with sigma 1.2 (fits the sample's counts of 1, 2,
   3, … purchases an article within 2 %).
3. People come seldom and take several things: a customer makes some 7.5 purchases in 2.6 visits (real: those with
   5 to 12 purchases make 7.9 in 2.6), weeks apart by a log-normal law (median 22 days).
4. Within a visit one thing leads to the next. It is the same article again (10 %; real 10 %), another look of
   the same product (5 %; real 4.5 %), something that looks like it (40 %), a complement (20 %), or what sells (25 %).
   Looking like it means the same type, colours, pattern and shade; how much each counts is set so that types
   have the real excess of .17, and colours and patterns one of .25 and .20. The real labels of colour and
   pattern have less, .08 and .10, but sections, H&M's own word for a style, have .25; here colour and pattern
   are all the style there is.
5. A visit begins by the customer's lasting taste in colours and patterns (56 %), with something bought before
   (4 %; real 3.8 %), or with what sells (40 %). Lasting taste is weak: from one visit to a later one the
   excess of colours is below .1 (real .02 to .05).

Complements are three products of other types, drawn at random among those of the same season, so they have
nothing to do with looks. What ids alone can tell is what goes with what, what sells, and what is sold at the same
time; what pictures alone can tell is likeness and taste, also for rare and new articles.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .articles import Article
from .looks import COLOURS, DARK, LIGHT, MEDIUM, PATTERNS

DAYS = 734  # the two years of H&M's own data
SEASON_MEDIAN, SEASON_SIGMA = 160.0, 1.0  # days
LEFTOVERS = 0.01  # of its rate is what an article sells outside its season
POPULARITY_SIGMA = 1.2

FEWEST_PURCHASES, MORE_PURCHASES = 5, 2.5  # of a customer: at least, and how many more on average
NEW_VISIT = 0.25  # how often a purchase is the first of a new visit
GAP_MEDIAN, GAP_SIGMA = 45.0, 1.5  # days between visits

# Within a visit: the same article, something like it, a complement, or else what sells.
AGAIN, ALIKE, HABIT = 0.10, 0.45, 0.20
# First in a visit: by taste, something bought before, or else what sells.
TASTE, RETURN = 0.56, 0.04
COMPLEMENT_WEIGHTS = (0.5, 0.3, 0.2)  # how often each of a product's complements follows it
SAME_KIND, SAME_FAMILY, SAME_PATTERN, SAME_SHADE = 20.0, 20.0, 6.0, 2.0  # how much likelier the alike are
LIKED_FAMILY, LIKED_PATTERN, LIKED_SHADE = 10.0, 4.0, 2.0  # how much likelier a liked look is

Float = NDArray[np.float64]


class Taste(NamedTuple):
    """The looks a customer likes, by name."""

    families: frozenset[str]
    patterns: frozenset[str]
    shade: str


class Bought(NamedTuple):
    """One purchase: the day, counted from the first, and the article's index."""

    day: int
    article: int


class Shop:
    """The articles with what decides how they sell; everything is drawn from `rng`."""

    def __init__(self, articles: Sequence[Article], rng: random.Random) -> None:
        self.articles = articles
        self.products = np.array([article.product for article in articles])
        seasons = _draw_seasons(int(self.products.max()) + 1, rng)
        self.opens, self.closes = seasons[self.products].T
        sales = np.array([rng.lognormvariate(0.0, POPULARITY_SIGMA) for _ in articles])
        self.rates: Float = sales / (self.closes - self.opens)
        self.likeness = _likeness(articles)
        self.complements = self._draw_complements(seasons, rng)

    def _draw_complements(self, seasons: Float, rng: random.Random) -> list[list[int]]:
        """For each product, some products of other types that overlap most of its season, or the most of it."""
        kind_of = {article.product: article.kind for article in self.articles}
        complements = []
        for product, kind in sorted(kind_of.items()):
            opens, closes = seasons[product]
            shared = np.minimum(seasons[:, 1], closes) - np.maximum(seasons[:, 0], opens)
            others = [other for other in sorted(kind_of) if kind_of[other] != kind]
            others.sort(key=lambda other: shared[other] < 0.6 * (closes - opens))  # noqa: B023 - used at once
            fitting = sum(shared[other] >= 0.6 * (closes - opens) for other in others)
            pool = others[: max(fitting, len(COMPLEMENT_WEIGHTS))]
            complements.append(rng.sample(pool, k=len(COMPLEMENT_WEIGHTS)))
        return complements

    def selling(self, day: int) -> Float:
        """How much each article sells on a day by popularity alone, (N,), summing to 1."""
        in_season = (self.opens <= day) & (day < self.closes)
        rates = self.rates * np.where(in_season, 1.0, LEFTOVERS)
        shares: Float = rates / rates.sum()
        return shares

    def liking(self, taste: Taste) -> Float:
        """How much a customer's taste multiplies each article's chances, (N,)."""
        return np.array(
            [
                (LIKED_FAMILY if article.colour.family in taste.families else 1.0)
                * (LIKED_PATTERN if article.pattern.name in taste.patterns else 1.0)
                * (LIKED_SHADE if article.colour.shade.name == taste.shade else 1.0)
                for article in self.articles
            ]
        )

    def first_of_visit(self, liking: Float, day: int, history: Sequence[int]) -> Float:
        """The probability of each article to open a visit, (N,)."""
        selling = self.selling(day)
        chances = TASTE * _shared_out(liking * selling) + (1 - TASTE - RETURN) * selling
        if history:
            before = np.zeros(len(chances))
            np.add.at(before, list(history), selling[list(history)])
            chances += RETURN * _shared_out(before)
        return _shared_out(chances)

    def next_in_visit(self, liking: Float, last: int, day: int) -> Float:
        """The probability of each article to be taken right after `last`, on the same day, (N,)."""
        selling = self.selling(day)
        alike = self.likeness[last] * liking * selling
        chances = ALIKE * _shared_out(np.where(np.arange(len(alike)) == last, 0.0, alike))
        chances += (1 - AGAIN - ALIKE - HABIT) * selling
        chances[last] += AGAIN
        for product, weight in zip(self.complements[self.products[last]], COMPLEMENT_WEIGHTS, strict=True):
            looks = np.flatnonzero(self.products == product)
            chances[looks] += HABIT * weight * _shared_out(alike[looks])
        return _shared_out(chances)


def _shared_out(weights: Float) -> Float:
    """`weights` scaled to a sum of 1."""
    shares: Float = weights / weights.sum()
    return shares


def _draw_seasons(products: int, rng: random.Random) -> Float:
    """The first day of each product's season and the day after its last, (products, 2)."""
    seasons = []
    for _ in range(products):
        length = min(float(DAYS), SEASON_MEDIAN * rng.lognormvariate(0.0, SEASON_SIGMA))
        opens = rng.uniform(-length / 2, DAYS - length / 2)
        seasons.append((opens, opens + length))
    return np.array(seasons)


def _likeness(articles: Sequence[Article]) -> Float:
    """How much likelier each article is taken after one it looks like, (N, N)."""
    likeness: Float = np.ones((len(articles), len(articles)))
    for factor, traits in (
        (SAME_KIND, [article.kind.name for article in articles]),
        (SAME_FAMILY, [article.colour.family for article in articles]),
        (SAME_PATTERN, [article.pattern.name for article in articles]),
        (SAME_SHADE, [article.colour.shade.name for article in articles]),
    ):
        column = np.array(traits)
        likeness *= np.where(column[:, None] == column, factor, 1.0)
    return likeness


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
