"""Who buys what in the generated shop.

Every customer has a taste that stays: two favourite colour families, one or two patterns and a shade.
Every product has five complements, products of another type that people tend to buy after it; they are
drawn at random, so they have nothing to do with looks. Popularity follows a power law, so that many
articles are rare. The next purchase is made by habit (40 %: a complement of the last purchase, in the look
the customer likes best), by taste (35 %: any article, by how well its look pleases), is something bought
before (10 %), or follows popularity alone (15 %). Within habit and taste, popularity counts as well. Who
sees only which articles follow one another can learn the habits and, for frequent articles, the tastes;
who sees only pictures can learn the tastes, also for rare articles; nothing here depends on any model.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .articles import Article
from .looks import COLOURS, DARK, LIGHT, MEDIUM, PATTERNS

HABIT, TASTE, REPEAT, POPULARITY = 0.40, 0.35, 0.10, 0.15  # what makes the next purchase
COMPLEMENT_WEIGHTS = (0.35, 0.25, 0.2, 0.12, 0.08)  # how often each of a product's complements follows it
COLOUR_LIKED, PATTERN_LIKED, SHADE_LIKED = 20.0, 8.0, 3.0  # how much likelier a liked look is bought
POPULARITY_EXPONENT, POPULARITY_OFFSET = 1.2, 12.0  # the article of rank r weighs (r + offset) ** -exponent
MEAN_PURCHASES = 11  # of a customer, Poisson distributed

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
        ranks = list(range(1, len(articles) + 1))
        rng.shuffle(ranks)
        self.popularity: Float = (np.array(ranks) + POPULARITY_OFFSET) ** -POPULARITY_EXPONENT
        self.popularity /= self.popularity.sum()
        self.complements = self._draw_complements(rng)

    def _draw_complements(self, rng: random.Random) -> list[list[int]]:
        """For each product, some products of other types that are bought after it."""
        kind_of = {article.product: article.kind for article in self.articles}
        products = sorted(kind_of)
        return [
            rng.sample(
                [other for other in products if kind_of[other] != kind_of[product]], k=len(COMPLEMENT_WEIGHTS)
            )
            for product in products
        ]

    def liking(self, taste: Taste) -> Float:
        """How much a customer's taste multiplies each article's chances, (N,)."""
        return np.array(
            [
                (COLOUR_LIKED if article.colour.family in taste.families else 1.0)
                * (PATTERN_LIKED if article.pattern.name in taste.patterns else 1.0)
                * (SHADE_LIKED if article.colour.shade.name == taste.shade else 1.0)
                for article in self.articles
            ]
        )

    def next_purchase(self, liking: Float, history: Sequence[int]) -> Float:
        """The probability of each article to be bought next, (N,), after `history` (article indices)."""
        by_taste = liking * self.popularity
        chances = POPULARITY * self.popularity + TASTE * by_taste / by_taste.sum()
        if history:
            complements = self.complements[self.products[history[-1]]]
            for product, weight in zip(complements, COMPLEMENT_WEIGHTS, strict=True):
                looks = np.flatnonzero(self.products == product)
                chances[looks] += HABIT * weight * by_taste[looks] / by_taste[looks].sum()
            np.add.at(chances, list(history), REPEAT / len(history))
        normalised: Float = chances / chances.sum()
        return normalised


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


def draw_purchases(shop: Shop, taste: Taste, rng: random.Random) -> list[int]:
    """One customer's purchases in order, as article indices; at least one."""
    liking = shop.liking(taste)
    history: list[int] = []
    for _ in range(max(1, _poisson(MEAN_PURCHASES, rng))):
        summed = np.cumsum(shop.next_purchase(liking, history))
        history.append(int(np.searchsorted(summed, rng.random() * summed[-1], side="right")))
    return history


def _poisson(mean: float, rng: random.Random) -> int:
    """How many unit-rate arrivals fit into `mean`."""
    count, time = 0, rng.expovariate(1.0)
    while time < mean:
        count, time = count + 1, time + rng.expovariate(1.0)
    return count
