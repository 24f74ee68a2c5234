"""Exact search against approximate over exported item vectors: recall and time.

    tssr export --run RUN --output served
    python benchmarks/serving.py served

Asks with the states of 1,000 histories drawn from the catalogue, 20 items each, one query at a time on one
thread, as a server would. Recall is the share of the exact list's items that the approximate list holds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import faiss
import numpy as np
import onnxruntime
from numpy.typing import NDArray

QUERIES, TOPK, LINKS = 1000, 20, 32
SEARCH_WIDTHS = (20, 50, 100, 200)

Float32 = NDArray[np.float32]


def states(folder: Path, items: int) -> Float32:
    """States of random histories as long as the window, with a 1 behind each for the bias, (Q, D + 1)."""
    session = onnxruntime.InferenceSession(folder / "user_side.onnx", providers=["CPUExecutionProvider"])
    length = session.get_inputs()[0].shape[1]
    drawn = np.random.default_rng(1).integers(1, items + 1, (QUERIES, length))
    given = {"items": drawn, "lengths": np.full(QUERIES, length)}
    (found,) = session.run(["states"], {each.name: given[each.name] for each in session.get_inputs()})
    return np.concatenate([found, np.ones((QUERIES, 1), np.float32)], axis=1)


def timed(index: faiss.Index, queries: Float32) -> tuple[NDArray[np.int64], float]:
    """The lists, (Q, 20), and milliseconds a query."""
    index.search(queries[:10], TOPK)
    started = time.perf_counter()
    lists = np.concatenate([index.search(query[None], TOPK)[1] for query in queries])
    return lists, (time.perf_counter() - started) / len(queries) * 1000


def main() -> None:
    """Search both ways and print a line each."""
    faiss.omp_set_num_threads(1)
    folder = Path(sys.argv[1])
    vectors, bias = np.load(folder / "item_vectors.npy"), np.load(folder / "item_bias.npy")
    items = np.concatenate([vectors, bias[:, None]], axis=1)
    queries = states(folder, len(items))
    flat = faiss.IndexFlatIP(items.shape[1])
    flat.add(items)
    exact, milliseconds = timed(flat, queries)
    print(f"{len(items):,} items, {items.shape[1]} dimensions\nexact: {milliseconds:.3f} ms")
    graph = faiss.IndexHNSWFlat(items.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    graph.add(items)
    for width in SEARCH_WIDTHS:
        graph.hnsw.efSearch = width
        found, milliseconds = timed(graph, queries)
        recall = np.mean([len(np.intersect1d(*pair)) / TOPK for pair in zip(exact, found, strict=True)])
        print(f"HNSW, efSearch {width}: recall {recall:.4f}, {milliseconds:.3f} ms")


if __name__ == "__main__":
    main()
