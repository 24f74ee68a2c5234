"""MovieLens as GroupLens publishes it: ml-1m (`.dat`), ml-20m, ml-25m and ml-32m (`.csv`).

Read are the ratings (every rating is an action) and the movies; an optional folder `posters/`, beside them or
in the raw folder, holds pictures named by movie id. https://grouplens.org/datasets/movielens/
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
from .files import RawFile, RawFolder
from .pictures import Pictures
from .problems import Problems
from .source import Actions, Catalogue, actions_of, catalogue_table, item_frame, joined, with_named_pictures
from .unpack import unpack_pictures

RATINGS = ("userId", "movieId", "rating", "timestamp")
MOVIES = ("movieId", "title", "genres")
POSTERS = "posters"
EDITIONS = ("", "ml-1m/", "ml-20m/", "ml-25m/", "ml-32m/")


def _from_dat(lines: bytes) -> bytes:
    """Lines with fields between `::`, each in UTF-8 or (as published) Latin-1, as UTF-8 lines with tabs."""
    try:
        lines.decode("utf-8")
    except UnicodeDecodeError:
        lines = b"\n".join(map(_as_utf_8, lines.split(b"\n")))
    return lines.replace(b"::", b"\t")


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
        rows = read_delimited(self.movies, MOVIES, problems, _dialect(self.movies, MOVIES))
        table = item_frame(rows, MOVIES, self.movies, problems, "movieId")
        text = joined(("title", "genres"))
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
        for edition, suffix in itertools.product(EDITIONS, ("dat", "csv")):
            ratings, movies = (find(f"{edition}{table}.{suffix}") for table in ("ratings", "movies"))
            if ratings and movies:
                found.setdefault(ratings, movies)
        if found:
            return list(found.items())
    raise folder.wrong("ratings.dat with movies.dat, or ratings.csv with movies.csv, is not there")


def _dialect(file: RawFile, names: tuple[str, ...]) -> Dialect:
    return Dialect("\t", quoted=False, names=names, recode=_from_dat) if file.kind == "dat" else CSV
