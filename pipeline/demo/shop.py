"""Who buys what in the generated shop, and when.

The mechanism was written down before any model was trained on it. What has a real counterpart is set by a
sample of H&M's real purchases (1,364 customers, 31,662 rows; "real" below) and the size of the paper's H&M
set (6.9 actions a user). How often likeness, complements, taste and popularity decide has none and is
chosen. One number was corrected after models had been trained and tested: leftovers sold at 1 % of their
rate, which left two sales of an article 88 days apart, not 54; at 0.01 % it is 51. The correction raised
TSSR's lead over SASRec-ID (Recall@10 from 3.4 to 9.8 %, NDCG@10 from 3.4 to 7.0 %).

1. Articles come and go. A product's season lasts about 160 days, and two sales of an article lie 51 days
   apart (real: 54); outside it, leftovers are sold.
2. Many articles are rare: their sales follow a log-normal law with sigma 1.2, which fits how many real
   articles were bought once, twice, three times … within 2 %.
3. People come seldom and take several things: 7.5 purchases in 2.6 visits within 79 days (real, those with
   5 to 12 purchases: 7.9 in 2.6 within 88).
4. Within a visit one thing leads to the next: the same article again (10 %; real 10 %), something that
   looks like it and pleases the customer (45 %), a complement, in the look nearest to both (20 %), or what
   sells (25 %). Alike means the same type, colours, pattern and shade, and how much each counts is set by
   what it tells: with the last article's traits known, the next one of the visit is foreseen .39 nats
   better than by the month's popularity. In reality all of nine labels (product, section and department
   among them) tell .38, but type, colour, shade and pattern alone .18: looks tell more here than those four
   do there, for here they stand for all that is alike. So the surplus over chance of types, colours and
   patterns is .21, .31 and .23 (real .17, .08 and .10; section .25).
5. A visit begins by lasting taste (56 %), with something bought before (4 %; real 4 %), or with what sells.
   Taste is two colour families, one or two patterns and a shade; from visit to visit colours and patterns
   have a surplus over chance of .05 and .02 (real .02 to .05, and .04).

Complements are three products of other types drawn at random from the same season: nothing one could see.
So ids alone tell what goes with what, what sells, and what is sold at the same time; pictures alone tell
likeness and taste, and that also for rare articles. New products often look like earlier ones, for a type
has few cuts.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .articles import Article

DAYS = 734  # the two years of H&M's own data
SEASON_MEDIAN, SEASON_SIGMA = 160.0, 1.0  # days
LEFTOVERS = 1e-4  # of its rate is what an article sells outside its season
POPULARITY_SIGMA = 1.2

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
        """For each product, some of other types on sale most of its season (any, where those are too few)."""
        kind_of = {article.product: article.kind for article in self.articles}
        complements = []
        for product, kind in sorted(kind_of.items()):
            opens, closes = seasons[product]
            shared = np.minimum(seasons[:, 1], closes) - np.maximum(seasons[:, 0], opens)
            others = [other for other in sorted(kind_of) if kind_of[other] != kind]
            fitting = [other for other in others if shared[other] >= 0.6 * (closes - opens)]
            pool = fitting if len(fitting) >= len(COMPLEMENT_WEIGHTS) else others
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
