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
left_out = np.zeros(len(user_ids), np.int64)  # of each user the number of an item that is no candidate
if (FOLDER / "user_left_out.npy").exists():
    left_out = np.load(FOLDER / "user_left_out.npy")
index = faiss.read_index(str(FOLDER / "items.faiss"))


def rank(users: list[str], k: int = 20) -> tuple[list[list[str]], list[list[float]]]:
    """Give the ids and scores of the k best items for each of B users, by their ids."""
    asked = [number_of[user] for user in users]
    queries = np.concatenate([user_vectors[asked], np.ones((len(asked), 1), np.float32)], axis=1)  # x bias
    scores, numbers = index.search(queries, min(k + 1, index.ntotal))
    kept = numbers != left_out[asked, None]
    best = [row[keep][:k] for row, keep in zip(numbers, kept, strict=True)]
    return [[item_ids[number - 1] for number in row] for row in best], [
        row[keep][:k].tolist() for row, keep in zip(scores, kept, strict=True)
    ]


if __name__ == "__main__":
    ids, scores = rank([json.loads(line) for line in sys.stdin])
    for row in zip(ids, scores, strict=True):
        print(json.dumps(dict(zip(("items", "scores"), row, strict=True))))  # noqa: T201
