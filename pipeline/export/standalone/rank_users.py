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
item_vectors = np.load(FOLDER / "item_vectors.npy", mmap_mode="r")
item_bias = np.load(FOLDER / "item_bias.npy")
SPARE = 20  # items that are looked at beyond a list's end, for they may tie with its last


def rank(users: list[str], k: int = 20) -> tuple[list[list[str]], list[list[float]]]:
    """Give the ids and scores of the k best items for each of B users, by their ids."""
    asked = [number_of[user] for user in users]
    queries = np.concatenate([user_vectors[asked], np.ones((len(asked), 1), np.float32)], axis=1)  # x bias
    _, found = index.search(queries, min(k + SPARE, index.ntotal))
    lists = [
        best_of(user_vectors[user], row[row != left_out[user]], k)
        for user, row in zip(asked, found, strict=True)
    ]
    return [ids for ids, _ in lists], [scores for _, scores in lists]


def best_of(state: np.ndarray, numbers: np.ndarray, k: int) -> tuple[list[str], list[float]]:
    """Score the found items again in float64: equal items tie, and stand in the order of their numbers."""
    numbers = np.sort(numbers)
    scores = (item_vectors[numbers - 1] * state.astype(np.float64)).sum(axis=1) + item_bias[numbers - 1]
    order = np.argsort(-scores, kind="stable")[:k]
    return [item_ids[number - 1] for number in numbers[order]], scores[order].tolist()


if __name__ == "__main__":
    ids, scores = rank([json.loads(line) for line in sys.stdin])
    for row in zip(ids, scores, strict=True):
        print(json.dumps(dict(zip(("items", "scores"), row, strict=True))))  # noqa: T201
