"""Rank items from the file beside this one, without tssr and torch: python rank.py < histories.jsonl.

A line of input is a history, which changes nothing: everyone gets the items that were taken most often.
"""

import json
import sys
from pathlib import Path

import pyarrow as pa

FOLDER = Path(__file__).parent
items = pa.ipc.open_file(FOLDER / "items.arrow").read_all().to_pylist()
popular = sorted((item for item in items if item["listed"]), key=lambda item: -item["bias"])


def rank(histories: list[list[str]], k: int = 20) -> tuple[list[list[str]], list[list[float]]]:
    """Give the ids and counts of the k most popular items, once for each history."""
    ids, counts = ([item[name] for item in popular[:k]] for name in ("item_id", "bias"))
    return [ids for _ in histories], [counts for _ in histories]


if __name__ == "__main__":
    ids, scores = rank([json.loads(line) for line in sys.stdin])
    for row in zip(ids, scores, strict=True):
        print(json.dumps(dict(zip(("items", "scores"), row, strict=True))))  # noqa: T201
