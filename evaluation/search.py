"""Exact search for the best items by inner product: FAISS on the CPU, torch on CUDA or where FAISS is absent.

Both return the same items up to rounding in float32; `scoring` compares again where rounding matters.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from ..core.blocks import SCORES_AT_ONCE
from ..core.dataset import Int64
from ..core.errors import UsageError
from ..core.float32 import full_float32
from .settings import Backend

Float32 = NDArray[np.float32]

# (B, D) queries and k give (B, k) scores, the best first, and (B, k) item numbers.
Search = Callable[[Float32, int], tuple[Float32, Int64]]


def exact_search(vectors: Float32, backend: Backend = "auto", device: str = "cpu") -> Search:
    """A search over all rows of `vectors` (N, D); row i is item i + 1. `device` is cpu, cuda or cuda:N.

    `auto` takes torch on CUDA, else FAISS, else torch. Raises UsageError where FAISS is chosen but absent.
    """
    if backend == "faiss" or (backend == "auto" and device == "cpu"):
        try:
            return _faiss_search(vectors)
        except ImportError:
            if backend == "faiss":
                raise UsageError(
                    "--backend faiss: FAISS is not installed; pip install faiss-cpu, or use --backend torch"
                ) from None
    return _torch_search(vectors, device)


def _faiss_search(vectors: Float32) -> Search:
    import faiss

    # By default FAISS searches small batches without BLAS, which is four times slower.
    faiss.cvar.distance_compute_blas_threshold = 1
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    # The queries are divided among threads of our own. FAISS's own threads wait for each other after every
    # 1024 items, and where other processes use the same cores each wait costs a time slice.
    threads = faiss.omp_get_max_threads()
    pool = ThreadPoolExecutor(threads, initializer=faiss.omp_set_num_threads, initargs=(1,))

    def search(queries: Float32, k: int) -> tuple[Float32, Int64]:
        parts = np.array_split(queries, min(threads, len(queries)))
        scores, rows = zip(*pool.map(lambda part: index.search(part, k), parts), strict=True)
        return np.concatenate(scores), np.concatenate(rows) + 1

    return search


def _torch_search(vectors: Float32, device: str) -> Search:
    import torch

    # The items stay on the device; queries go there in blocks, whose scores (rows, N)
    # are held one block at a time.
    items = torch.from_numpy(vectors).to(device)
    rows_at_once = max(1, SCORES_AT_ONCE // len(vectors))

    def search(queries: Float32, k: int) -> tuple[Float32, Int64]:
        with torch.inference_mode(), full_float32():
            parts = [
                (torch.from_numpy(queries[lo : lo + rows_at_once]).to(device) @ items.T).topk(k)
                for lo in range(0, len(queries), rows_at_once)
            ]
        scores = torch.cat([part.values for part in parts]).cpu().numpy()
        rows = torch.cat([part.indices for part in parts]).cpu().numpy()
        return scores, rows + 1

    return search
