"""Rank items from the files beside this one, without tssr and torch: python rank.py < users.jsonl.

A line of input is the id of a user, as JSON: "user 7"; a line of output the best items.
"""

import json
import sys
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa

FOLDER = Path(__file__).parent
item_ids = pa.ipc.open_file(FOLDER / "items.arrow").read_all()["item_id"].to_pylist()
user_ids = pa.ipc.open_file(FOLDER / "users.arrow").read_all()["user_id"].to_pylist()
number_of = {user_id: number for number, user_id in enumerate(user_ids)}
user_vectors = np.load(FOLDER / "user_vectors.npy", mmap_mode="r")
index = faiss.read_index(str(FOLDER / "items.faiss"))


def rank(users: list[str], k: int = 20) -> tuple[list[list[str]], list[list[float]]]:
    """Give the ids and scores of the k best items for each of B users, by their ids."""
    states = user_vectors[[number_of[user] for user in users]]
    queries = np.concatenate([states, np.ones((len(states), 1), np.float32)], axis=1)  # times the bias
    scores, numbers = index.search(queries, min(k, index.ntotal))
    return [[item_ids[number - 1] for number in row] for row in numbers], scores.tolist()


if __name__ == "__main__":
    ids, scores = rank([json.loads(line) for line in sys.stdin])
    for row in zip(ids, scores, strict=True):
        print(json.dumps(dict(zip(("items", "scores"), row, strict=True))))  # noqa: T201
