"""Rank items from the files beside this one, without tssr and torch: python rank.py < histories.jsonl.

A line of input is a history, oldest item first: ["item 7", "item 3"]; a line of output its best items.
"""

import json
import sys
from pathlib import Path

import faiss
import numpy as np
import onnxruntime
import pyarrow as pa

FOLDER = Path(__file__).parent
item_ids = pa.ipc.open_file(FOLDER / "items.arrow").read_all()["item_id"].to_pylist()
number_of = {item_id: number for number, item_id in enumerate(item_ids, start=1)}
user_side = onnxruntime.InferenceSession(FOLDER / "user_side.onnx", providers=["CPUExecutionProvider"])
index = faiss.read_index(str(FOLDER / "items.faiss"))
item_vectors = np.load(FOLDER / "item_vectors.npy", mmap_mode="r")
item_bias = np.load(FOLDER / "item_bias.npy")
SPARE = 20  # items that are looked at beyond a list's end, for they may tie with its last


def rank(histories: list[list[str]], k: int = 20) -> tuple[list[list[str]], list[list[float]]]:
    """Give the ids and scores of the k best items for each of B histories, lists of item ids."""
    length = user_side.get_inputs()[0].shape[1]
    items = np.zeros((len(histories), length), np.int64)  # the newest items, padded on the left with 0
    lengths = np.zeros(len(histories), np.int64)
    for row, history in enumerate(histories):
        known = [number_of[item] for item in history if item in number_of]
        newest, lengths[row] = known[-length:], len(known)
        items[row, length - len(newest) :] = newest
    given = {"items": items, "lengths": lengths}
    states, *left_out = user_side.run(None, {each.name: given[each.name] for each in user_side.get_inputs()})
    queries = np.concatenate([states, np.ones((len(states), 1), np.float32)], axis=1)  # times the bias
    _, found = index.search(queries, min(k + SPARE, index.ntotal))
    kept = found != (left_out[0][:, None] if left_out else 0)  # the newest item may be no candidate
    lists = [best_of(state, row[keep], k) for state, row, keep in zip(states, found, kept, strict=True)]
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
