"""The view of the items: a map by each kind of vector, with every item's neighbours under each.

Items stand in the order of their popularity, so that what a large catalogue must leave out is the rarest.
Shapes: N items, M items of the map, F dimensions, K neighbours.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.dataset import Int64
from ...core.progress import note
from ...evaluation.item_map import draw_item_map, nearest_items
from .item_names import ColourColumn, ItemNames

ITEMS_SHOWN = 100_000  # the most popular items; a canvas draws this many without a delay one notices
WITH_NEIGHBOURS = 10_000  # the most popular; more would take the file beyond 5 MB, as would long titles
TITLE_LETTERS = 2_500_000  # of all titles together
_SHORTEST = 24  # letters of a title that are kept in any case
NEIGHBOURS = 8
_NOWHERE = 65_535  # the coordinate of an item without a vector


@dataclass(frozen=True)
class VectorSource:
    """Vectors of items 1…N, (N, F), and which items have one, (N,); `title` says whose they are."""

    name: str
    title: str
    vectors: NDArray[Any]
    present: NDArray[np.bool_]


@dataclass(frozen=True)
class MapLayout:
    """Where the M items stand by one kind of vector: (M, 2) whole numbers, and their neighbours, (R, K).

    Neighbours are places in the map's own order, from 1; 0 is none. R of the M items have them.
    """

    name: str
    title: str
    places: NDArray[np.uint16]
    neighbours: Int64
    laid_out: int


@dataclass(frozen=True)
class MapView:
    """The map of a catalogue; `items` are the numbers of those shown, the most popular first, (M,)."""

    items: Int64
    item_count: int
    layouts: Sequence[MapLayout]
    titles: Sequence[str]
    popularity: Sequence[int]
    columns: Sequence[ColourColumn]

    @property
    def _letters(self) -> int:
        """The number of letters to which titles are cut, so that all fit into TITLE_LETTERS."""
        return max(_SHORTEST, TITLE_LETTERS // max(1, len(self.items)))

    @property
    def reduced(self) -> list[str]:
        """What was left out or simplified, a sentence each, for the reader."""
        said = []
        shown, laid_out = len(self.items), min(layout.laid_out for layout in self.layouts)
        if shown < self.item_count:
            said.append(f"The {shown:,} most popular of {self.item_count:,} items are shown.")
        if laid_out < shown:
            said.append(
                f"t-SNE placed {laid_out:,} items drawn by lot; each other item stands among those of them "
                "that it is most like."
            )
        if max(map(len, self.titles)) > self._letters:
            said.append(f"Titles are cut to {self._letters} letters.")
        if shown > WITH_NEIGHBOURS:
            said.append(f"Neighbours are listed for the {WITH_NEIGHBOURS:,} most popular items.")
        return said

    def packed(self) -> str:
        """The map's data as JSON, compressed, in base64: what the page unpacks when the map is looked at."""
        record = {
            "items": _packed(self.items, "<u4"),
            "titles": [title[: self._letters] for title in self.titles],
            "popularity": _packed(np.array(self.popularity), "<u4"),
            "columns": [
                {"name": c.name, "values": list(c.values), "place": _packed(np.array(c.place), "u1")}
                for c in self.columns
            ],
            "layouts": [
                {
                    "name": layout.name,
                    "title": layout.title,
                    "places": _packed(layout.places, "<u2"),
                    "neighbours": _packed(layout.neighbours, "<u4"),
                }
                for layout in self.layouts
            ],
            "perItem": NEIGHBOURS,
        }
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
        return base64.b64encode(gzip.compress(text, 9, mtime=0)).decode("ascii")


def map_view(
    sources: Sequence[VectorSource],
    train_counts: Int64,
    names: ItemNames,
    columns: Sequence[ColourColumn],
    seed: int,
) -> MapView | None:
    """Lay the items out by each source; None without one. `train_counts` are by item number, (N + 1,)."""
    if not sources:
        return None
    counts = train_counts[1:]
    order = np.argsort(-counts, kind="stable")[:ITEMS_SHOWN]  # (M,), item numbers less 1
    return MapView(
        items=order + 1,
        item_count=len(counts),
        layouts=[_layout(source, order, seed) for source in sources],
        titles=[names.titles[row] for row in order],
        popularity=[int(counts[row]) for row in order],
        columns=[ColourColumn(c.name, c.values, [c.place[row] for row in order]) for c in columns],
    )


def _layout(source: VectorSource, order: Int64, seed: int) -> MapLayout:
    note(f"laying {len(order):,} items out by {source.title}")
    there = np.flatnonzero(source.present[order])  # places in the map's order that have a vector
    vectors = source.vectors[order[there]].astype(np.float32)
    places = np.full((len(order), 2), _NOWHERE, np.uint16)
    neighbours = np.zeros((min(len(order), WITH_NEIGHBOURS), NEIGHBOURS), np.int64)
    if len(there) == 0:
        return MapLayout(source.name, source.title, places, neighbours, 0)
    drawn = draw_item_map(vectors, seed)
    places[there] = np.round(drawn.places * (_NOWHERE - 1)).astype(np.uint16)
    listed = np.flatnonzero(there < WITH_NEIGHBOURS)
    found = nearest_items(vectors, listed + 1, NEIGHBOURS)  # numbers 1… among those that are there
    number = np.concatenate([[0], there + 1])  # as places in the map's order
    neighbours[there[listed]] = number[found]
    return MapLayout(source.name, source.title, places, neighbours, drawn.laid_out)


def _packed(values: NDArray[Any], kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode("ascii")
