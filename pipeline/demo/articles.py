"""The articles of the generated shop: products in several looks, with H&M's columns.

A product fixes the type of garment, its details and its proportions; its articles differ in colour and
pattern. The details are phrases: the description lists the very words by which the picture is drawn.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from .garment_types import GARMENT_TYPES, GarmentType
from .looks import COLOURS, PATTERNS, Colour, Pattern

SINGLE_LOOK_SHARE = 0.15  # products sold in one look only; the others come in two to five
PRODUCT_NAMES = (
    "Alma", "Astrid", "Bea", "Clara", "Dagny", "Edda", "Elin", "Frida", "Greta", "Hanna", "Ida", "Ines",
    "Jonna", "Kaja", "Lova", "Maj", "Nora", "Olga", "Petra", "Runa", "Saga", "Tilda", "Ulla", "Vera",
    "Wilma", "Ylva", "Anton", "Bo", "Dag", "Emil", "Finn", "Gustav", "Hugo", "Ivar", "Jon", "Karl", "Love",
    "Malte", "Nils", "Otto", "Per", "Rolf", "Sten", "Tor", "Urban", "Vide", "Axel", "Birk",
)  # fmt: skip


class Article(NamedTuple):
    """One article: product `product` (0, 1, …) of a type, in one look."""

    article_id: str
    product: int
    product_name: str
    kind: GarmentType
    details: tuple[str, ...]
    proportions: tuple[float, float]  # width and length relative to the type's usual cut
    colour: Colour
    pattern: Pattern
    price: float  # as H&M publishes prices: a small number without a unit

    @property
    def description(self) -> str:
        """The article in one sentence, naming what its picture shows."""
        words = [detail for detail in self.details if detail]
        listed = " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
        colour = self.colour.name.capitalize()
        return f"{colour} {self.pattern.adjective} {self.kind.noun} in {self.kind.fabric} with {listed}."


def make_articles(count: int, rng: random.Random) -> list[Article]:
    """Draw `count` articles; the types take turns, so that each has its fair share of products."""
    articles: list[Article] = []
    codes = rng.sample(range(100_000, 1_000_000), count)
    for product in range(count):
        kind = GARMENT_TYPES[product % len(GARMENT_TYPES)]
        articles += _make_product(product, codes[product], kind, rng)
        if len(articles) >= count:
            break
    return articles[:count]


def _make_product(product: int, code: int, kind: GarmentType, rng: random.Random) -> list[Article]:
    details = tuple(rng.choice(group) for group in kind.details)
    proportions = (rng.uniform(0.9, 1.1), rng.uniform(0.9, 1.1))
    name = f"{rng.choice(PRODUCT_NAMES)} {kind.noun}"
    price = round(kind.price * rng.choice((0.6, 0.8, 1.0, 1.0, 1.2, 1.6)), 2) / 590
    looks = 1 if rng.random() < SINGLE_LOOK_SHARE else rng.randint(2, 5)
    colours = rng.sample(COLOURS, looks)
    patterns = rng.choices(PATTERNS, [pattern.weight for pattern in PATTERNS], k=looks)
    return [
        Article(f"0{code}{look + 1:03d}", product, name, kind, details, proportions, colour, pattern, price)
        for look, (colour, pattern) in enumerate(zip(colours, patterns, strict=True))
    ]


def article_row(article: Article) -> dict[str, str | int]:
    """The article as a row of H&M's articles.csv, its 25 columns in H&M's order."""
    kind, colour, pattern = article.kind, article.colour, article.pattern
    return {
        "article_id": article.article_id,
        "product_code": article.article_id[1:-3],
        "prod_name": article.product_name,
        "product_type_no": kind.code,
        "product_type_name": kind.name,
        "product_group_name": kind.group,
        "graphical_appearance_no": pattern.code,
        "graphical_appearance_name": pattern.name,
        "colour_group_code": colour.code,
        "colour_group_name": colour.name,
        "perceived_colour_value_id": colour.shade.code,
        "perceived_colour_value_name": colour.shade.name,
        "perceived_colour_master_id": colour.family_code,
        "perceived_colour_master_name": colour.family,
        "department_no": kind.department[0],
        "department_name": kind.department[1],
        "index_code": kind.index[0],
        "index_name": kind.index[1],
        "index_group_no": 2 if kind.index[1] == "Divided" else 1,
        "index_group_name": "Divided" if kind.index[1] == "Divided" else "Ladieswear",
        "section_no": kind.section[0],
        "section_name": kind.section[1],
        "garment_group_no": kind.garment_group[0],
        "garment_group_name": kind.garment_group[1],
        "detail_desc": article.description,
    }
