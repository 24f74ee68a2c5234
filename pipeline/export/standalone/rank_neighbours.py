"""Rank items from the files beside this one, without tssr and torch: python rank.py < histories.jsonl.

A line of input is a history: ["item 7", "item 3"]; a line of output its best items.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

FOLDER = Path(__file__).parent
items = pa.ipc.open_file(FOLDER / "items.arrow").read_all()
item_ids = items["item_id"].to_pylist()
number_of = {item_id: number for number, item_id in enumerate(item_ids, start=1)}
listed = np.flatnonzero(items["listed"].to_numpy()) + 1  # the items that may be recommended
pairs = pa.ipc.open_file(FOLDER / "neighbours.arrow").read_all()
owners, neighbours, similarities = (pairs[name].to_numpy() for name in pairs.column_names)
starts = np.searchsorted(neighbours, np.arange(len(item_ids) + 2))  # the pairs stand by their neighbour


def rank(histories: list[list[str]], k: int = 20) -> tuple[list[list[str]], list[list[float]]]:
    """Give the ids and scores of the k best items for each history, lists of item ids."""
    ids, best = [], []
    for history in histories:
        sums = np.zeros(len(item_ids) + 1)  # an item's score: its similarities to neighbours in the history
        for item in {number_of[item] for item in history if item in number_of}:
            own = slice(starts[item], starts[item + 1])
            sums[owners[own]] += similarities[own]
        sums = sums[listed].round(12)
        order = np.argsort(-sums, kind="stable")[:k]  # equal scores stand in the order of item numbers
        ids.append([item_ids[number - 1] for number in listed[order]])
        best.append(sums[order].tolist())
    return ids, best


if __name__ == "__main__":
    ids, scores = rank([json.loads(line) for line in sys.stdin])
    for row in zip(ids, scores, strict=True):
        print(json.dumps(dict(zip(("items", "scores"), row, strict=True))))  # noqa: T201
