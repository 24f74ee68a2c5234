"""Nearest neighbours of a few pictures by the cosine of their stored vectors, as one image.

    tssr demo
    python benchmarks/neighbours.py workspace docs/neighbours.jpg

The picture in docs/feature-store.md is made by these two commands.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from tssr.core.artifacts import read_json
from tssr.core.schema import IMAGE, ITEMS_FILE, MANIFEST_FILE
from tssr.core.workspace import Workspace
from tssr.features.store import choose_stores, open_store

SIDE, GAP, NEAREST = 96, 8, 7


def nearest(vectors: np.ndarray, present: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The items nearest to each query by cosine, the query itself first: (queries, 1 + NEAREST).

    The mean is taken off first: untrained encoders give vectors that all point the same way.
    """
    centred = np.where(present[:, None], vectors.astype(np.float32), 0)
    centred[present] -= centred[present].mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.maximum(lengths, 1e-12)
    cosines = unit[queries] @ unit.T
    cosines[:, ~present] = -np.inf
    return np.argsort(-cosines, axis=1, kind="stable")[:, : 1 + NEAREST]


def sheet(rows: np.ndarray, raw: Path, images: list[str]) -> Image.Image:
    """One line a query: its picture, a rule, then its neighbours."""
    height = len(rows) * (SIDE + GAP) + GAP
    width = (1 + NEAREST) * (SIDE + GAP) + 2 * GAP
    page = Image.new("RGB", (width, height), "white")
    for line, items in enumerate(rows):
        for place, item in enumerate(items):
            with Image.open(raw / images[item - 1]) as picture:
                small = picture.convert("RGB")
                small.thumbnail((SIDE, SIDE))
            left = GAP + place * (SIDE + GAP) + (GAP if place else 0)
            page.paste(small, (left, GAP + line * (SIDE + GAP)))
    ImageDraw.Draw(page).line([(SIDE + 2 * GAP, 0), (SIDE + 2 * GAP, height)], fill="grey", width=2)
    return page


def main() -> None:
    """Draw the sheet for evenly spaced items of a data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--dataset")
    parser.add_argument("--store", default="image")
    parser.add_argument("--queries", type=int, default=6)
    arguments = parser.parse_args()
    workspace = Workspace(arguments.workspace)
    dataset = workspace.choose_dataset(arguments.dataset)
    store = open_store(choose_stores(workspace.features(dataset.name), (arguments.store,))[0])
    vectors, present = store.item_features()
    queries = np.flatnonzero(present)[:: max(1, present.sum() // arguments.queries)][: arguments.queries]
    images = pq.read_table(dataset / ITEMS_FILE, columns=[IMAGE])[IMAGE].to_pylist()
    raw = Path(read_json(dataset / MANIFEST_FILE, cure="run tssr preprocess again")["raw"])
    sheet(nearest(vectors, present, queries), raw, images).save(arguments.output, quality=85, optimize=True)


if __name__ == "__main__":
    main()
