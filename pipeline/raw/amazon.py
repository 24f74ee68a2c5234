"""Amazon Review 2018, and its edition of 2014: reviews and metadata of one category.

Reviews as `CATEGORY_5.json` (the 5-core), `CATEGORY.json` (all) or `CATEGORY.csv` (item, user, rating, time,
without a header), in 2014 as `reviews_CATEGORY_5.json`, `reviews_CATEGORY.json` or `ratings_CATEGORY.csv`
(user, item, rating, time); metadata as `meta_CATEGORY.json`; each may end in `.gz`.
https://nijianmo.github.io/amazon/
Amazon Reviews 2023 has other keys and is read by the format custom: amazon_2023.py says so where it is met.

Metadata hold the addresses of pictures, not pictures: `tssr download-images` fetches them into `images/`,
where a picture is named by its asin; a folder of pictures from elsewhere does as well.
"""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from ...core.artifacts import parse_json
from .amazon_2023 import refuse_2023
from .delimited import Dialect, read_delimited
from .dump import (
    Actions,
    Catalogue,
    actions_of,
    catalogue_table,
    item_frame,
    joined_text,
    with_named_pictures,
)
from .files import RawFile, RawFolder
from .jsonlines import as_text, no_text, read_json_lines, read_objects
from .pictures import Pictures
from .problems import Problems
from .rows import Rows, text_array
from .unpack import unpack_pictures

USER, ITEM, TIME = "reviewerID", "asin", "unixReviewTime"
RATINGS = Dialect(names=(ITEM, USER, "overall", TIME))
RATINGS_2014 = Dialect(names=(USER, ITEM, "overall", TIME))
REVIEWS = (
    *("{}_5.json", "{}.json", "{}.csv"),
    *("reviews_{}_5.json", "reviews_{}.json", "ratings_{}.csv"),
)
PRODUCTS = 1 << 16  # of the metadata, that become one table at once
KEPT = (ITEM, "title", "brand", "category", "main_cat", "price", "image_urls")

_NAMES = (
    "a abbr b big body br button center code dd div dl dt em embed font form frame h1 h2 h3 h4 h5 h6 head hr "
    "html i iframe img input label li link map meta nobr noscript object ol option p param pre s script "
    "select small span strike strong style sub sup table tbody td textarea tfoot th thead title tr tt u ul"
)
# Names of elements alone, so that "5 < 6" and "I <3 it" stay. A title that was cut off may end within a tag,
# which its attribute tells from "A<B".
_NAME = _NAMES.replace(" ", "|")
_TAG = re.compile(
    rf"</?({_NAME})\b[^<>]*>|<({_NAME})\s[^<>]*=[^<>]*$|</({_NAME})$|<!--.*?(-->|$)", re.I | re.DOTALL
)
_SCRIPT = re.compile(r"<(script|style)\b.*?(</\1\s*>|$)", re.I | re.DOTALL)
_PICTURE_FIELDS = ("imageURLHighRes", "imageURL", "imUrl")


class Amazon:
    """The dump of one category in `folder`."""

    category = ""
    order = "time of the review (a day), then row of the reviews"

    def __init__(self, folder: RawFolder) -> None:
        self.root: Path = folder.path
        self.format = folder.format
        self.pictures = Pictures(folder.path)
        names = [name.format(self.category) for name in REVIEWS]
        found = [file for name in names if (file := folder.find_optional(name))]
        refuse_2023(folder, self.category, found)
        if not found:
            raise folder.wrong(f"none of {', '.join(names)} is there")
        self.reviews, self.unread = found[0], found[1:]
        self.metadata = folder.find(f"meta_{self.category}.json")

    def files(self) -> list[RawFile]:
        """Reviews and metadata."""
        return [self.reviews, self.metadata]

    def actions(self, problems: Problems) -> Iterator[Actions]:
        """Reviews, whatever their stars."""
        for file in self.unread:
            problems.note(f"{file} is not read, because {self.reviews} is there")
        columns = (USER, ITEM, TIME)
        if self.reviews.kind == "csv":
            of_2014 = self.reviews.name.startswith("ratings_")
            batches = read_delimited(self.reviews, columns, problems, RATINGS_2014 if of_2014 else RATINGS)
        else:
            batches = read_json_lines(self.reviews, columns, problems)
        for rows in batches:
            yield actions_of(rows, self.reviews, problems, user=USER, item=ITEM, time=TIME)

    def catalogue(self, problems: Problems) -> Catalogue:
        """Products with title, brand and category as text, their picture, and the addresses of pictures."""
        unpack_pictures(self.root, "images")
        table = item_frame(self._products(problems), KEPT, self.metadata, problems, ITEM)
        text = joined_text(("title", "brand", "category"))
        items = catalogue_table(self.metadata, table, problems, item=ITEM, text=text, image=pl.lit(None))
        fetch = f"tssr download-images {self.format}"
        items = with_named_pictures(items, self.pictures, "images", problems, f"; fetch them with: {fetch}")
        return Catalogue(items, ("image",), fetch)

    def _products(self, problems: Problems) -> Iterator[Rows]:
        entries = self._read_products(problems)
        while some := list(islice(entries, PRODUCTS)):
            lines, products = zip(*some, strict=True)
            columns = zip(KEPT, zip(*products, strict=True), strict=True)
            yield Rows({name: text_array(values) for name, values in columns}, partial(list, lines))

    def _read_products(self, problems: Problems) -> Iterator[tuple[int, tuple[str | None, ...]]]:
        """Each product as a row of KEPT, with its line."""
        for line, entry in read_objects(self.metadata, problems, _json_or_literal):
            try:
                product = _product(entry)
            except (TypeError, RecursionError):  # values of Python that are none of JSON; lists without end
                problems.row(self.metadata, line, "holds a value that is no text")
                continue
            fault = no_text(product)
            if fault:
                problems.row(self.metadata, line, fault)
                continue
            title = entry.get("title")
            problems.tally(f"titles of {self.metadata} had HTML, which is taken out", _has_html(title))
            odd = isinstance(title, list | dict)
            problems.tally(f"titles of {self.metadata} are lists or objects, taken as text", odd)
            yield line, product


class Phone(Amazon):
    """Cell Phones and Accessories."""

    category = "Cell_Phones_and_Accessories"


class Toy(Amazon):
    """Toys and Games."""

    category = "Toys_and_Games"


def _json_or_literal(line: str) -> Any:
    """Metadata as JSON, or as Python writes a dictionary, which the older files are; raises ValueError."""
    try:
        return parse_json(line)
    except ValueError:
        if not line.lstrip().startswith(("{'", '{u"', "{u'")):
            raise
        return ast.literal_eval(line.strip())


def _product(entry: dict[str, Any]) -> tuple[str | None, ...]:
    category = entry.get("category") or entry.get("categories")
    if isinstance(category, list) and category and isinstance(category[0], list):
        category = category[0]  # the older files have a list of paths
    if isinstance(category, list):
        category = list(dict.fromkeys(word for word in category if isinstance(word, str)))
    address = next((entry[name] for name in _PICTURE_FIELDS if entry.get(name)), None)
    addresses = address if isinstance(address, list) else [address]
    return (
        _identifier(entry.get(ITEM)),
        *(plain_text(value) for value in (entry.get("title"), entry.get("brand"), category)),
        plain_text(entry.get("main_cat")),
        plain_text(entry.get("price")),
        " ".join(word for word in addresses if isinstance(word, str)) or None,
    )


def _identifier(value: object) -> str | None:
    if isinstance(value, list | dict):
        raise TypeError("an asin is one word")
    return as_text(value)


def _has_html(value: object) -> bool:
    text = as_text(value) or ""
    if "<" not in text and "&" not in text:
        return False
    text = html.unescape(text)
    return bool(_TAG.search(text) or _SCRIPT.search(text))


def _without_tags(text: str) -> str:
    return _TAG.sub(" ", _SCRIPT.sub(" ", text))


def plain_text(value: object) -> str | None:
    """A field of the metadata without HTML: no scripts, tags and entities; None where nothing stays.

    Twice, for some titles have tags as entities.
    """
    text = as_text(value)
    if text is None or ("<" not in text and "&" not in text):
        return text
    text = html.unescape(_without_tags(text))
    text = _without_tags(text)
    # No other entities: "R&copy" is a model's name.
    for entity, sign in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, sign)
    return text.strip() or None
