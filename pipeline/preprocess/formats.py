"""The raw formats `preprocess` knows: their files, their reader, their defaults, their row of Table 2."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..raw.settings import UTF_8


@dataclass(frozen=True)
class PaperRow:
    """A row of Table 2 (arXiv 2403.07623)."""

    users: int
    items: int
    actions: int
    modality: str


@dataclass(frozen=True)
class Format:
    """One raw format; the reader is imported when it is used."""

    reader: str
    """Module under `pipeline/raw/` and the class in it, as `module:Class`."""
    expected: Sequence[str] = ()
    """The files of a dump, as a person should read them."""
    source: str = ""
    """Where the owners publish them."""
    editions: str = ""
    """What tells its editions apart where their ids do not meet, as a person should read it."""
    signatures: Sequence[str] = ()
    """Globs that only dumps of this format match."""
    window: int = 10
    """How many actions the models look back, L."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Settings whose default is another one here, the paper's value for this set."""
    paper: PaperRow | None = None


_AMAZON_RATINGS = (
    "of the files with ratings alone, CATEGORY.csv (2018) has item, user, rating, time, and that of 2014, "
    "which is named ratings_CATEGORY.csv, has the user first: each is read under its own name"
)

FORMATS = {
    "hm": Format(
        "hm:HM",
        expected=("transactions_train.csv", "articles.csv", "images/"),
        source="https://www.kaggle.com/competitions/h-and-m-personalized-fashion-recommendations/data",
        signatures=("transactions_train.csv*", "h-and-m-*.zip"),
        defaults={"users": 100_000},
        paper=PaperRow(100_000, 61_574, 692_413, "Image"),
    ),
    "yelp": Format(
        "yelp:Yelp",
        expected=(
            "yelp_academic_dataset_review.json",
            "yelp_academic_dataset_business.json",
            "photos.json",
            "photos/",
        ),
        source="https://www.yelp.com/dataset",
        signatures=("yelp_*",),
        paper=PaperRow(173_318, 36_208, 1_348_192, "Image"),
    ),
    "phone": Format(
        "amazon:Phone",
        expected=(
            "Cell_Phones_and_Accessories_5.json.gz",
            "meta_Cell_Phones_and_Accessories.json.gz",
            "images/",
        ),
        source="https://nijianmo.github.io/amazon/",
        editions=_AMAZON_RATINGS,
        signatures=("*Cell_Phones_and_Accessories*",),
        paper=PaperRow(128_647, 42_675, 841_657, "Image"),
    ),
    "toy": Format(
        "amazon:Toy",
        expected=("Toys_and_Games_5.json.gz", "meta_Toys_and_Games.json.gz", "images/"),
        source="https://nijianmo.github.io/amazon/",
        editions=_AMAZON_RATINGS,
        signatures=("*Toys_and_Games*.[jc]*",),
        paper=PaperRow(141_303, 55_285, 996_576, "Image"),
    ),
    "mind": Format(
        "mind:Mind",
        expected=("MINDlarge_train/behaviors.tsv", "MINDlarge_train/news.tsv"),
        source="https://msnews.github.io/",
        signatures=("behaviors.tsv*", "*/behaviors.tsv*", "MIND*.zip"),
        window=20,
        paper=PaperRow(768_079, 81_496, 10_437_301, "Text"),
    ),
    "movielens": Format(
        "movielens:MovieLens",
        expected=(
            "ratings.dat and movies.dat (ml-1m), or ratings.csv and movies.csv (ml-20m, ml-25m), "
            "or u.data and u.item (ml-100k)",
        ),
        source="https://grouplens.org/datasets/movielens/",
        signatures=("ratings.*", "*/ratings.*", "u.data", "*/u.data", "ml-*.zip"),
    ),
    "custom": Format("custom:Custom"),
}


def open_dump(name: str, root: Path, encoding: str = UTF_8) -> Any:
    """Import the reader of a format and open the dump in `root`, whose text is UTF-8 or in `encoding`.

    Raises DataError where files are missing.
    """
    from ..raw.files import RawFolder

    chosen = FORMATS[name]
    signatures = {other: each.signatures for other, each in FORMATS.items()}
    module, reader = chosen.reader.split(":")
    folder = RawFolder(root, name, chosen.expected, chosen.source, signatures, encoding)
    return getattr(importlib.import_module(f"..raw.{module}", __package__), reader)(folder)
