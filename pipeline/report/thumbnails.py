"""Small pictures for the report, as many as a number of bytes allows."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageOps

from ...core.progress import progress
from ...features.content import read_picture
from ...features.pictures import BadContentError, read_rgb
from .item_names import ItemNames

SIDE = 112  # pixels of the longer side: sharp at the 84 that tiles have, also on dense screens
QUALITY = 62  # of WebP
BUDGET = 9 << 20  # bytes of all pictures; as base64 text a third more, below the 15 MB that a report may have


@dataclass(frozen=True)
class Thumbnails:
    """Pictures by item number, as WebP in base64; how many could not be read, and how many did not fit."""

    pictures: Mapping[int, str]
    unreadable: int
    left_out: int


def make_thumbnails(raw: Path, names: ItemNames, items: Iterable[int], budget: int = BUDGET) -> Thumbnails:
    """Pictures of `items`, the most wanted first, until `budget` bytes are used."""
    wanted = [(item, path) for item in dict.fromkeys(items) if (path := names.pictures[item - 1])]
    pictures: dict[int, str] = {}
    unreadable = left_out = used = 0
    with progress("pictures of the report", len(wanted), "pictures") as advance:
        for item, path in wanted:
            advance(1)
            if used >= budget:
                left_out += 1
                continue
            try:
                picture = _thumbnail(read_picture(raw, path))
            except BadContentError:
                unreadable += 1
                continue
            used += len(picture)
            pictures[item] = base64.b64encode(picture).decode("ascii")
    return Thumbnails(pictures, unreadable, left_out)


def _thumbnail(content: bytes) -> bytes:
    picture = ImageOps.contain(read_rgb(content, SIDE), (SIDE, SIDE))
    packed = io.BytesIO()
    picture.save(packed, format="WEBP", quality=QUALITY, method=4)
    return packed.getvalue()
