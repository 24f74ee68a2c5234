"""H&M: the files of Kaggle's "H&M Personalized Fashion Recommendations" (31.8 million purchases).

`transactions_train.csv` (t_dat, customer_id, article_id are read), `articles.csv` (every column is kept) and
`images/0xx/0xxxxxxxxx.jpg`, the folder being the first three digits of the article.
https://www.kaggle.com/competitions/h-and-m-personalized-fashion-recommendations/data
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from .delimited import read_delimited, read_header
from .dump import Actions, Catalogue, actions_of, catalogue_table, item_frame, joined_text, with_pictures
from .files import RawFile, RawFolder
from .pictures import Pictures
from .problems import Problems
from .unpack import unpack_pictures

TEXT_COLUMNS = ("prod_name", "product_type_name", "colour_group_name", "detail_desc")


class HM:
    """The H&M dump in `folder`."""

    order = "day of purchase, then row of transactions_train.csv"

    def __init__(self, folder: RawFolder) -> None:
        self.root: Path = folder.path
        self.pictures = Pictures(folder.path)
        self.transactions = folder.find("transactions_train.csv")
        self.articles = folder.find("articles.csv")

    def files(self) -> list[RawFile]:
        """The two tables."""
        return [self.transactions, self.articles]

    def actions(self, problems: Problems) -> Iterator[Actions]:
        """Purchases; the time is the midnight (UTC) of the day."""
        columns = ("t_dat", "customer_id", "article_id")
        for rows in read_delimited(self.transactions, columns, problems):
            yield actions_of(
                rows, self.transactions, problems, user="customer_id", item="article_id", time="t_dat"
            )

    def catalogue(self, problems: Problems) -> Catalogue:
        """Articles with their picture; the text is name, type, colour and description."""
        unpack_pictures(self.root, "images")
        names = read_header(self.articles)
        wanted = tuple(dict.fromkeys(("article_id", *TEXT_COLUMNS, *names)))
        rows = read_delimited(self.articles, wanted, problems)
        table = item_frame(rows, wanted, self.articles, problems, "article_id")
        identifier = pl.col("article_id")
        image = pl.format("images/{}/{}.jpg", identifier.str.slice(0, 3), identifier)
        items = catalogue_table(
            self.articles, table, problems, item="article_id", text=joined_text(TEXT_COLUMNS), image=image
        )
        return Catalogue(with_pictures(items, self.pictures, problems, "images/"), ("image",))
