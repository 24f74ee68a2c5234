"""Batches of encoder inputs: pictures decoded by processes or threads, texts sorted by length."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from ..core.errors import DataError, TssrError
from ..core.words import reason_of
from .content import SOURCE, content_key, read_picture
from .content_batch import Chunk, ContentBatch, LoaderOptions
from .encoder import Inputs
from .pictures import BadContentError, UnreachableFileError
from .store import KEY
from .text_encoder import Tokens

Place = tuple[int, int]  # which chunk, which of its members
Prepare = Callable[[bytes], Any]
PREFETCH = 4  # batches that each worker decodes ahead


class _Pictures(Dataset[Any]):
    """Reads and prepares one picture; runs in the worker processes or threads."""

    def __init__(self, content: pa.Table, chunks: list[Chunk], raw: Path, prepare: Prepare) -> None:
        self.sources, self.keys = content[SOURCE], content[KEY]
        self.chunks, self.raw, self.prepare = chunks, raw, prepare

    def __getitem__(self, index: Place) -> tuple[Place, Any]:
        chunk, place = index
        member = self.chunks[chunk].members[place]
        path = self.sources[member].as_py()
        try:
            picture = read_picture(self.raw, path)
            # The hash is that of the scan: other bytes would give a vector under a key that is not theirs.
            if content_key(picture) == self.keys[member].as_py():
                return index, self.prepare(picture)
        except UnreachableFileError:
            pass
        except BadContentError as error:
            return index, error
        return index, DataError(f"{self.raw / path} changed while it was read; run the same command again")


@dataclass(frozen=True)
class _Batches:
    """The places of each batch, chunk after chunk, made as they are asked for."""

    chunks: list[Chunk]
    size: int

    def __iter__(self) -> Iterator[list[Place]]:
        for number, chunk in enumerate(self.chunks):
            places = range(len(chunk.members))
            for start in places[:: self.size]:
                yield [(number, place) for place in places[start : start + self.size]]


def _collate(loaded: list[tuple[Place, Any]]) -> ContentBatch | DataError:
    # Batches end where their chunk ends (see `_Batches`), so the first picture tells the chunk of all.
    chunk = loaded[0][0][0]
    good = [(place, value) for (_, place), value in loaded if isinstance(value, np.ndarray)]
    failures = [(place, value) for (_, place), value in loaded if isinstance(value, BadContentError)]
    for _, value in loaded:
        if isinstance(value, DataError):
            return value
    # Each picture has its channels last in memory. torch.stack keeps that, and convolutions are faster so.
    inputs = (torch.stack([torch.from_numpy(value) for _, value in good]),) if good else ()
    return ContentBatch(chunk, [place for place, _ in good], inputs, failures)


def picture_batches(
    content: pa.Table, chunks: list[Chunk], raw: Path, prepare: Prepare, options: LoaderOptions
) -> Generator[ContentBatch]:
    """The chunks' pictures, chunk after chunk, as `options` say.

    Raises DataError where a picture file changes while it is read, TssrError where a worker process dies.
    """
    pictures = _Pictures(content, chunks, raw, prepare)
    for batch in _beside(pictures, options) if options.workers else _in_turn(pictures, options):
        if isinstance(batch, DataError):
            raise batch
        yield batch


def _beside(pictures: _Pictures, options: LoaderOptions) -> Iterator[ContentBatch | DataError]:
    """Batches decoded ahead of the encoder in processes of their own."""
    loader: DataLoader[Any] = DataLoader(
        pictures,
        batch_sampler=_Batches(pictures.chunks, options.batch_size),
        collate_fn=_collate,
        num_workers=options.workers,
        worker_init_fn=_silence_decoders,
        pin_memory=options.pin_memory,
        prefetch_factor=PREFETCH,
    )
    try:
        yield from loader
    except RuntimeError as error:
        # Torch has no error class of its own for a dead worker, only this word in the message.
        if "worker" not in str(error):
            raise
        raise TssrError(
            f"a process that decodes pictures died ({reason_of(error)}); "
            f"what is finished is kept, run again with fewer --workers"
        ) from error


def _silence_decoders(_worker: int = 0) -> None:
    """Silence the warnings of decoders about metadata, which changes no pixel."""
    warnings.simplefilter("ignore")


def _in_turn(pictures: _Pictures, options: LoaderOptions) -> Iterator[ContentBatch | DataError]:
    """Batches decoded by threads of this process, in turn with the encoder and never at the same time.

    An encoder on the CPU divides every layer evenly over the cores and waits for the slowest one. A process
    that decodes on one of these cores at the same time would slow down that core, and so all of them.
    """
    Image.init()  # all formats known before threads ask for them
    cores = torch.get_num_threads()
    # Some models prepare pictures by torch operations, each of which would start one thread for each core.
    alone = ThreadPoolExecutor(options.threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        with warnings.catch_warnings(), alone as pool:
            _silence_decoders()
            for places in _Batches(pictures.chunks, options.batch_size):
                yield _collate(list(pool.map(pictures.__getitem__, places)))
    finally:
        # Also where the caller stops early or a picture fails. This thread kept its own number of threads; it
        # is what threads to come begin with.
        torch.set_num_threads(cores)


def text_batches(
    content: pa.Table, chunks: list[Chunk], tokens: Tokens, options: LoaderOptions
) -> Generator[ContentBatch]:
    """The chunks' texts, each chunk sorted by length, in batches of at most batch size x longest tokens.

    A batch of short texts holds more of them, so that every batch costs about the same.
    """
    budget = options.batch_size * tokens.length
    for number, chunk in enumerate(chunks):
        # Short texts first, of equal ones in the order of the chunk: the batches are the same in every run.
        ids = tokens(content[SOURCE].take(pa.array(chunk.members)).to_pylist())
        places = sorted(range(len(ids)), key=lambda place: (len(ids[place]), place))
        while places:
            # Grow the batch while its texts, all padded to the longest, stay within the budget.
            size = 1
            while size < len(places) and (size + 1) * len(ids[places[size]]) <= budget:
                size += 1
            taken, places = places[:size], places[size:]
            yield ContentBatch(number, taken, pad([ids[place] for place in taken], tokens.padding), [])


def pad(ids: list[list[int]], padding: int) -> Inputs:
    """Token ids and mask, (B, L) each, filled up on the right to the longest."""
    length = max(map(len, ids))
    table = torch.full((len(ids), length), padding)
    mask = torch.zeros_like(table)
    for row, sequence in enumerate(ids):
        table[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    return table, mask
