"""Yelp Open Dataset: reviews, businesses and photos (about 7 million reviews).

`yelp_academic_dataset_review.json`, `yelp_academic_dataset_business.json` (in some years `review.json` and
`business.json`), and from `yelp_photos.tar` the table `photos.json` or `photo.json` (photo_id, business_id,
caption, label) and the folder `photos/`. https://www.yelp.com/dataset

A business has many photos but one picture here: of those whose file is there, the first by label in the
order of LABELS, then by photo_id. The column `photos` keeps them all in that order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ...core.schema import IMAGE, ITEM_ID
from .dump import Actions, Catalogue, actions_of, catalogue_table, item_frame, joined_text, text_frame
from .files import RawFile, RawFolder
from .jsonlines import read_json_lines
from .pictures import Pictures
from .problems import Problems
from .unpack import unpack_pictures

LABELS = ("food", "inside", "outside", "drink", "menu")
BUSINESS = ("business_id", "name", "categories", "city", "state")
PHOTO = ("photo_id", "business_id", "label")


class Yelp:
    """The Yelp dump in `folder`."""

    order = "time of the review, then row of the reviews"

    def __init__(self, folder: RawFolder) -> None:
        self.root: Path = folder.path
        self.pictures = Pictures(folder.path)
        self.reviews = folder.find("yelp_academic_dataset_review.json", "review.json")
        self.businesses = folder.find("yelp_academic_dataset_business.json", "business.json")
        self.photos = folder.find_optional("photos.json") or folder.find_optional("photo.json")

    def files(self) -> list[RawFile]:
        """The tables that are there."""
        return [self.reviews, self.businesses] + ([self.photos] if self.photos else [])

    def actions(self, problems: Problems) -> Iterator[Actions]:
        """Reviews, whatever their stars."""
        for rows in read_json_lines(self.reviews, ("user_id", "business_id", "date"), problems):
            yield actions_of(rows, self.reviews, problems, user="user_id", item="business_id", time="date")

    def catalogue(self, problems: Problems) -> Catalogue:
        """Businesses with name and categories as text, and with their picture."""
        rows = read_json_lines(self.businesses, BUSINESS, problems)
        table = item_frame(rows, BUSINESS, self.businesses, problems, "business_id")
        text = joined_text(("name", "categories"))
        items = catalogue_table(
            self.businesses, table, problems, item="business_id", text=text, image=pl.lit(None)
        )
        chosen = self._chosen(problems)
        items = items.drop(IMAGE).join(chosen, on=ITEM_ID, how="left", maintain_order="left")
        items = items.select(ITEM_ID, "text", IMAGE, pl.exclude(ITEM_ID, "text", IMAGE))
        missing = items[IMAGE].null_count()
        if missing:
            problems.note(f"{missing:,} of {len(items):,} businesses have no picture in photos/")
        return Catalogue(items, ("image",))

    def _chosen(self, problems: Problems) -> pl.DataFrame:
        """For each business with photos: the picture, and all its photos as `label/photo_id`."""
        if self.photos is None:
            problems.note("photos.json is not there: no business has a picture")
            return pl.DataFrame(schema={ITEM_ID: pl.String, IMAGE: pl.String, "photos": pl.String})
        photos = text_frame(list(read_json_lines(self.photos, PHOTO, problems)), PHOTO)
        unpack_pictures(self.root, "photos")
        there = self.pictures.named("photos")
        rank = pl.col("label").replace_strict(
            {label: place for place, label in enumerate(LABELS)}, default=len(LABELS), return_dtype=pl.Int32
        )
        path = pl.col("photo_id").replace_strict(there, default=None, return_dtype=pl.String)
        ordered = photos.with_columns(path.alias(IMAGE), rank.alias("rank")).sort("rank", "photo_id")
        return ordered.group_by(pl.col("business_id").alias(ITEM_ID), maintain_order=True).agg(
            pl.col(IMAGE).drop_nulls().first(),
            pl.format("{}/{}", pl.col("label").fill_null(""), "photo_id").str.join(" ").alias("photos"),
        )
