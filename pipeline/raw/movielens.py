"""MovieLens as GroupLens publishes it: ml-1m (`.dat`), ml-20m, ml-25m and ml-32m (`.csv`).

Read are the ratings (every rating is an action) and the movies; an optional folder `posters/` beside them
holds pictures named by movie id. https://grouplens.org/datasets/movielens/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from .delimited import CSV, Dialect, read_delimited
from .files import RawFile, RawFolder
from .pictures import Pictures
from .problems import Problems
from .source import Actions, Catalogue, actions_of, catalogue_table, joined, text_frame, with_named_pictures

RATINGS = ("userId", "movieId", "rating", "timestamp")
MOVIES = ("movieId", "title", "genres")
EDITIONS = ("", "ml-1m/", "ml-20m/", "ml-25m/", "ml-32m/")


def _from_dat(lines: bytes) -> bytes:
    """Lines with fields between `::`, in Latin-1 as published or in UTF-8, as lines with tabs in UTF-8."""
    try:
        text = lines.decode("utf-8")
    except UnicodeDecodeError:
        text = lines.decode("latin-1")
    return text.replace("::", "\t").encode("utf-8")


class MovieLens:
    """The MovieLens edition in `folder`, or in its folder `ml-…`."""

    order = "time of the rating, then row of the ratings"

    def __init__(self, folder: RawFolder) -> None:
        self.ratings = _find(folder, "ratings")
        self.movies = _find(folder, "movies")
        # Archives hold no posters: they lie beside the archive or beside the tables.
        self.root: Path = self.ratings.path.parent
        self.pictures = Pictures(self.root)

    def files(self) -> list[RawFile]:
        """The two tables."""
        return [self.ratings, self.movies]

    def actions(self, problems: Problems) -> Iterator[Actions]:
        """Ratings, whatever their stars."""
        columns = ("userId", "movieId", "timestamp")
        for rows in read_delimited(self.ratings, columns, problems, _dialect(self.ratings, RATINGS)):
            yield actions_of(rows, self.ratings, problems, user="userId", item="movieId", time="timestamp")

    def catalogue(self, problems: Problems) -> Catalogue:
        """Movies with title and genres as text, and with posters where there are any."""
        rows = list(read_delimited(self.movies, MOVIES, problems, _dialect(self.movies, MOVIES)))
        table = text_frame(rows, MOVIES)
        text = joined(("title", "genres"))
        items = catalogue_table(self.movies, table, problems, item="movieId", text=text, image=pl.lit(None))
        if not self.pictures.named("posters"):
            return Catalogue(items, ("text",))
        return Catalogue(
            with_named_pictures(items, self.pictures, "posters", problems, ""), ("text", "image")
        )


def _find(folder: RawFolder, table: str) -> RawFile:
    for edition in EDITIONS:
        for suffix in ("dat", "csv"):
            file = folder.find_optional(f"{edition}{table}.{suffix}")
            if file is not None:
                return file
    raise folder.wrong(f"{table}.dat or {table}.csv is not there")


def _dialect(file: RawFile, names: tuple[str, ...]) -> Dialect:
    return Dialect("\t", quoted=False, names=names, recode=_from_dat) if file.kind == "dat" else CSV
