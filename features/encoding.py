"""The loop that fills a store: batches in, vectors out, a part file whenever a chunk is through."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from ..core.errors import UsageError
from .batches import Batch, Loading, picture_batches, text_batches
from .encoder import Encoder
from .parts import Chunk, write_part
from .pictures import BadContentError
from .settings import FeatureSettings
from .store import KEY
from .text_encoder import Tokens


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` is this process's GPU where there is one. Raises UsageError."""
    if name == "auto":
        return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {name}: not usable here ({str(error).splitlines()[0]})") from None
    return device


def prepared_batches(
    encoder: Encoder,
    content: pa.Table,
    chunks: list[Chunk],
    raw: Path,
    settings: FeatureSettings,
    device: torch.device,
) -> Iterator[Batch]:
    """The chunks' contents as the encoder wants them, prepared ahead of it.

    Without --workers, one process decodes pictures beside a CPU encoder, and every core does beside a GPU.
    """
    on_gpu = device.type == "cuda"
    workers = settings.workers
    if workers is None:
        workers = min(16, os.cpu_count() or 1) if on_gpu else 1
    loading = Loading(settings.batch_size, workers, on_gpu)
    if isinstance(encoder.prepare, Tokens):
        return text_batches(content, chunks, encoder.prepare, loading)
    return picture_batches(content, chunks, raw, encoder.prepare, loading)


@torch.inference_mode()
def encode_chunks(
    encoder: Encoder,
    content: pa.Table,
    chunks: list[Chunk],
    raw: Path,
    folder: Path,
    settings: FeatureSettings,
    advance: Callable[[int], None],
) -> None:
    """Encode the members of `chunks` and write one part into `folder` for each.

    Half precision (bf16) is used on CUDA only.
    """
    device = choose_device(settings.device if encoder.kind == "vectors" else "cpu")
    dtype_name = encoder.dtype or settings.dtype
    module = encoder.module.to(device)
    if settings.compile:
        module.compile()
    half = torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else contextlib.nullcontext()
    batches = prepared_batches(encoder, content, chunks, raw, settings, device)
    for number, group in groupby(batches, key=lambda batch: batch.chunk):
        members = chunks[number].members
        # The rows stay on the device until the chunk is through, so a GPU is waited for once a part.
        rows = torch.zeros(len(members), encoder.dimension, dtype=getattr(torch, dtype_name), device=device)
        failures: dict[int, BadContentError] = {}
        for batch in group:
            if batch.places:
                inputs = [tensor.to(device, non_blocking=True) for tensor in batch.inputs]
                with half:
                    rows[batch.places] = module(*inputs).to(rows.dtype)
            failures.update(batch.failures)
            advance(len(batch.places) + len(batch.failures))
        found = rows.cpu().numpy()
        for place in np.flatnonzero(~np.isfinite(found).all(axis=1)):
            detail = f"in {dtype_name}; --dtype float32 may hold it"
            failures[int(place)] = BadContentError("vector not finite", detail)
            found[place] = 0
        keys = content[KEY].take(pa.array(members)).combine_chunks()
        write_part(folder, chunks[number].number, keys, found, failures)
