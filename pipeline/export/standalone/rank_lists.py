"""Rank items from the files beside this one, without tssr and torch: python rank.py < users.jsonl.

A line of input is the id of a user, as JSON: "user 7"; a line of output the best items, ranked by tssr.
"""

import json
import sys
from pathlib import Path

import pyarrow as pa

FOLDER = Path(__file__).parent
item_ids = pa.ipc.open_file(FOLDER / "items.arrow").read_all()["item_id"].to_pylist()
user_ids = pa.ipc.open_file(FOLDER / "users.arrow").read_all()["user_id"].to_pylist()
number_of = {user_id: number for number, user_id in enumerate(user_ids)}
lists = pa.ipc.open_file(FOLDER / "lists.arrow").read_all()  # as many rows for each user, the best first
deep = len(lists) // len(user_ids)


def rank(users: list[str], k: int = 20) -> tuple[list[list[str]], list[list[float]]]:
    """Give the ids and scores of the k best items for each of B users, by their ids."""
    best = [lists.slice(number_of[user] * deep, min(k, deep)) for user in users]
    return [[item_ids[number - 1] for number in own["item"].to_pylist()] for own in best], [
        own["score"].to_pylist() for own in best
    ]


if __name__ == "__main__":
    ids, scores = rank([json.loads(line) for line in sys.stdin])
    for row in zip(ids, scores, strict=True):
        print(json.dumps(dict(zip(("items", "scores"), row, strict=True))))  # noqa: T201
