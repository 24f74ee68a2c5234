"""The demo's picture: some test customers, what TSSR would show them and what they really bought."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ...core.dataset import Histories, Int32, load_dataset
from ...core.device import choose_device
from ...core.schema import IMAGE, ITEM_ID, ITEMS, ITEMS_FILE, TEXT, read_table
from ...core.workspace import WorkspaceFolders
from ...evaluation.gallery import RECOMMENDED, SEEN, Person, Tile, draw_gallery
from ...evaluation.recommending import recommend
from ..runs.record import open_run
from ..runs.scorer import scorer_of
from ..runs.trained_model import trained_model

PEOPLE = 5


def draw_showcase(path: Path, workspace: WorkspaceFolders, run: Path, seed: int) -> None:
    """Draw the gallery of a run; the customers are drawn by lot among those with a full history."""
    plan = open_run(workspace, run)
    dataset = load_dataset(plan.dataset)
    queries = dataset.split().test
    able = np.flatnonzero(queries.histories.lengths >= SEEN)
    chosen = sorted(random.Random(f"{seed} showcase").sample(able.tolist(), k=min(PEOPLE, len(able))))
    model = trained_model(run, plan, dataset, "auto")
    lists = recommend(
        queries.histories, scorer_of(model, queries), RECOMMENDED, device=str(choose_device("auto"))
    )
    tiles = _tiles(plan.dataset.folder, workspace.raw(plan.dataset.name))
    people = [
        Person(
            name=f"customer {queries.users[query]}",
            history=_pick(tiles, _actions(queries.histories, query)),
            recommended=_pick(tiles, lists.items[query]),
            taken=tiles[queries.targets[query]],
        )
        for query in chosen
    ]
    draw_gallery(path, "The generated shop: test customers drawn by lot", plan.spec.title, people)


def _tiles(dataset: Path, raw: Path) -> list[Tile]:
    """A tile for each item, by item number; number 0 is nobody's."""
    table = read_table(
        dataset / ITEMS_FILE, ITEMS, cure="run tssr demo --force", columns=[ITEM_ID, TEXT, IMAGE]
    )
    tiles = [Tile(0, "", None)]
    for number, row in enumerate(table.to_pylist(), start=1):
        name = str(row[TEXT] or row[ITEM_ID]).split(".")[0]
        tiles.append(Tile(number, name, raw / row[IMAGE] if row[IMAGE] else None))
    return tiles


def _pick(tiles: list[Tile], items: Iterable[int]) -> list[Tile]:
    return [tiles[item] for item in items]


def _actions(histories: Histories, query: int) -> Int32:
    return histories.items[histories.starts[query] : histories.ends[query]]
