"""MovieLens as GroupLens publishes it, an edition told by its files' names.

ml-100k has `u.data` and `u.item`, ml-1m and ml-10m `ratings.dat` and `movies.dat`, later ones (ml-20m, -25m,
-32m, -latest) `ratings.csv` and `movies.csv`. Read are the ratings (every rating is an action) and the
movies; an optional folder `posters/`, beside them or in the raw folder, holds pictures named by movie id.
https://grouplens.org/datasets/movielens/
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import polars as pl

from ...core.errors import DataError
from .archives import archives_in
from .delimited import CSV, Dialect, read_delimited
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
from .pictures import Pictures
from .problems import Problems
from .unpack import unpack_pictures

RATINGS = ("userId", "movieId", "rating", "timestamp")
MOVIES = ("movieId", "title", "genres")
POSTERS = "posters"
TABLES = (("ratings.dat", "movies.dat"), ("ratings.csv", "movies.csv"), ("u.data", "u.item"))
EDITIONS = (
    *("", "ml-100k/", "ml-1m/", "ml-10M100K/", "ml-20m/", "ml-25m/", "ml-32m/"),
    *("ml-latest-small/", "ml-latest/"),
)
GENRES = (  # the columns of u.item behind the address, 1 where the movie is of the genre
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary"),
    *("Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller"),
    *("War", "Western"),
)
U_ITEM = ("movieId", "title", "release_date", "video_release_date", "address", *GENRES)


def _from_dat(lines: bytes) -> bytes:
    """Lines with fields between `::` as UTF-8 lines with tabs."""
    return _in_utf_8(lines).replace(b"::", b"\t")


def _in_utf_8(lines: bytes) -> bytes:
    """Lines, each in UTF-8 or (as published) Latin-1, in UTF-8."""
    try:
        lines.decode("utf-8")
    except UnicodeDecodeError:
        lines = b"\n".join(map(_as_utf_8, lines.split(b"\n")))
    return lines


def _as_utf_8(line: bytes) -> bytes:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1").encode("utf-8")
    return line


class MovieLens:
    """The MovieLens edition in `folder`, or in its folder `ml-…`."""

    order = "time of the rating, then row of the ratings"

    def __init__(self, folder: RawFolder) -> None:
        (self.ratings, self.movies), *others = _editions(folder)
        self.unread = [f"{ratings.path} is not read: {self.ratings.path} is" for ratings, _ in others]
        beside = self.ratings.path.parent
        self.root: Path = beside if (beside / POSTERS).is_dir() else folder.path
        self.pictures = Pictures(self.root)

    def files(self) -> list[RawFile]:
        """The two tables."""
        return [self.ratings, self.movies]

    def actions(self, problems: Problems) -> Iterator[Actions]:
        """Ratings, whatever their stars."""
        for why in self.unread:
            problems.note(why)
        columns = ("userId", "movieId", "timestamp")
        for rows in read_delimited(self.ratings, columns, problems, _dialect(self.ratings, RATINGS)):
            yield actions_of(rows, self.ratings, problems, user="userId", item="movieId", time="timestamp")

    def catalogue(self, problems: Problems) -> Catalogue:
        """Movies with title and genres as text, and with posters where there are any."""
        names = U_ITEM if _plain_name(self.movies) == "u.item" else MOVIES
        rows = read_delimited(self.movies, names, problems, _dialect(self.movies, names))
        table = item_frame(rows, names, self.movies, problems, "movieId")
        if names == U_ITEM:
            table = _with_genres(table)
        text = joined_text(("title", "genres"))
        items = catalogue_table(self.movies, table, problems, item="movieId", text=text, image=pl.lit(None))
        try:
            unpack_pictures(self.root, POSTERS)
        except DataError as error:  # posters are no must
            problems.note(f"no poster is unpacked: {error}")
        if not self.pictures.named(POSTERS):
            return Catalogue(items, ("text",))
        items = with_named_pictures(items, self.pictures, POSTERS, problems, "")
        return Catalogue(items, ("text", "image"))


def _editions(folder: RawFolder) -> list[tuple[RawFile, RawFile]]:
    """(ratings, movies) of each edition that is there whole; archives count where none lies unpacked.

    Raises DataError where there is none.
    """
    finders: list[Callable[[str], RawFile | None]] = [folder.find_unpacked]
    finders += [partial(folder.find_in_archive, path.name) for path in archives_in(folder.path)]
    found: dict[RawFile, RawFile] = {}
    for find in finders:
        for edition, tables in itertools.product(EDITIONS, TABLES):
            ratings, movies = (find(f"{edition}{table}") for table in tables)
            if ratings and movies:
                found.setdefault(ratings, movies)
        if found:
            return list(found.items())
    raise folder.wrong("ratings.dat with movies.dat, or ratings.csv with movies.csv, is not there")


def _plain_name(file: RawFile) -> str:
    return file.name.removesuffix(".gz")


def _dialect(file: RawFile, names: tuple[str, ...]) -> Dialect:
    name = _plain_name(file)
    if name == "u.data":
        return Dialect("\t", quoted=False, names=names)
    if name == "u.item":
        return Dialect("|", quoted=False, names=names, recode=_in_utf_8)
    return Dialect("\t", quoted=False, names=names, recode=_from_dat) if file.kind == "dat" else CSV


def _with_genres(table: pl.DataFrame) -> pl.DataFrame:
    """The table of u.item with one column `genres`, as the later editions have it: Comedy|Drama."""
    flags = [pl.when(pl.col(name) == "1").then(pl.lit(name)) for name in GENRES]
    genres = pl.concat_str(flags, separator="|", ignore_nulls=True).alias("genres")
    return table.select(pl.exclude(GENRES), genres)
