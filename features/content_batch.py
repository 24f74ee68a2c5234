"""Chunks of contents and batches of their tensors, which the readers of contents hand to the encoder."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .encoder import Inputs
from .pictures import BadContentError


@dataclass(frozen=True)
class Chunk:
    """Contents that become the part `number`: places in the CONTENT table, one for each distinct key."""

    number: int
    members: NDArray[np.int64]


@dataclass(frozen=True)
class LoaderOptions:
    """How contents are decoded: by `workers` processes while the encoder runs, or by `threads` in between."""

    batch_size: int
    workers: int
    threads: int
    pin_memory: bool


@dataclass(frozen=True)
class ContentBatch:
    """Contents of one chunk: `inputs` belong to the members at `places`, `failures` have no vector."""

    chunk: int
    places: list[int]
    inputs: Inputs
    failures: list[tuple[int, BadContentError]]

    def pin_memory(self) -> ContentBatch:
        """Called by the loader where the batch goes to a GPU."""
        return replace(self, inputs=tuple(tensor.pin_memory() for tensor in self.inputs))
