"""What passes between reading contents and encoding them: chunks of contents, batches of their tensors."""

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
class Loading:
    """Content comes to the encoder from `workers` processes beside it, or `threads` in turn with it."""

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
