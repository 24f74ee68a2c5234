"""The loop that encodes contents and writes a part file after each chunk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from ..core.device import choose_device
from ..core.float32 import full_float32
from .content_batch import Chunk, ContentBatch, LoaderOptions
from .encoder import ContentEncoder
from .modality import Modality
from .parts import write_part
from .pictures import BadContentError
from .settings import FeatureSettings
from .store import KEY

MOST_WORKERS = 16  # processes that decode for one GPU, unless --workers says otherwise


def loader_options(settings: FeatureSettings, device: torch.device) -> LoaderOptions:
    """How pictures are decoded for an encoder on `device`.

    For an encoder on a GPU, processes decode on every core that is this process's. An encoder on the CPU
    needs the cores itself, so it takes turns with as many decoding threads as there are cores.
    """
    # macOS does not tell which cores this process may use.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = max(1, allowed // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    on_gpu = device.type == "cuda"
    workers = min(MOST_WORKERS, cores) if on_gpu else 0
    return LoaderOptions(
        settings.batch_size,
        workers if settings.workers is None else settings.workers,
        threads=cores,
        pin_memory=on_gpu,
    )


def prepared_batches(
    modality: Modality,
    encoder: ContentEncoder,
    content: pa.Table,
    chunks: list[Chunk],
    raw: Path,
    settings: FeatureSettings,
    device: torch.device,
) -> Generator[ContentBatch]:
    """The chunks' contents as the encoder wants them."""
    return modality.batches(content, chunks, raw, encoder.prepare, loader_options(settings, device))


@torch.inference_mode()
@full_float32()
def encode_chunks(
    modality: Modality,
    encoder: ContentEncoder,
    content: pa.Table,
    chunks: list[Chunk],
    raw: Path,
    folder: Path,
    settings: FeatureSettings,
    advance: Callable[[int], None],
) -> None:
    """Encode the members of `chunks` and write one part into `folder` for each.

    Half precision (bf16) is used on CUDA only; elsewhere the vectors are float32 until they are stored.
    """
    # A store of encoder inputs has nothing to compute: its "encoder" hands on what was read.
    device = choose_device("cpu" if encoder.kind == modality.inputs else settings.device)
    dtype_name = encoder.dtype or settings.dtype
    module = encoder.module.to(device)
    if settings.compile:
        module.compile()
    half = torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else contextlib.nullcontext()
    # Closed whatever happens, which ends the threads or processes that decode. A notebook keeps the traceback
    # of an error, and with it the batches, which are a variable of this function.
    with contextlib.closing(
        prepared_batches(modality, encoder, content, chunks, raw, settings, device)
    ) as batches:
        for number, group in groupby(batches, key=lambda batch: batch.chunk):
            members = chunks[number].members
            # The vectors stay on the device until the chunk is done: the CPU waits for the GPU once a part.
            rows = torch.zeros(
                len(members), encoder.dimension, dtype=getattr(torch, dtype_name), device=device
            )
            failures: dict[int, BadContentError] = {}
            for batch in group:
                if batch.places:
                    inputs = [tensor.to(device, non_blocking=True) for tensor in batch.inputs]
                    with half:
                        rows[batch.places] = module(*inputs).to(rows.dtype)
                failures.update(batch.failures)
                advance(len(batch.places) + len(batch.failures))
            found = rows.cpu().numpy()
            _take_out_infinite(found, failures, dtype_name)
            keys = content[KEY].take(pa.array(members)).combine_chunks()
            write_part(folder, chunks[number].number, keys, found, failures)


def _take_out_infinite(found: NDArray[Any], failures: dict[int, BadContentError], dtype: str) -> None:
    """Make rows with NaN or infinite numbers failures, and zeros in `found`, (C, D)."""
    # A number may be finite in float32 and too large for float16, whose largest is 65,504.
    for place in np.flatnonzero(~np.isfinite(found).all(axis=1)):
        failures[int(place)] = BadContentError(
            "vector not finite", f"in {dtype}; --dtype float32 may hold it"
        )
        found[place] = 0
