"""Reading encoder inputs from a store of pixels, token ids or activations, for end-to-end training.

Several items may have one content (the same picture in two sizes of a dress); each content is numbered once.
Texts are numbered by their length in tokens, and so are a frozen part's outputs for them: those that are
encoded together, which are neighbours by number, then need little padding. Example: of 269 titles of Amazon's
Toys in chunks of 64, of 30 tokens at most, padding takes 27 % on top of the tokens; unsorted it takes 128 %.

Shapes: N items, R distinct contents, K contents asked for, L tokens.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.schema import PADDING
from .modality import LAYERS, MODALITIES
from .store import StoreInfo, open_store

_AT_ONCE = 1024  # rows in memory while lengths are counted: 23 MB of MiniLM's activations for 30 tokens


def sent(rows: Tensor, device: torch.device) -> Tensor:
    """Rows on the device.

    To a GPU they go from pinned memory: then the CPU does not wait for the copy, and reads the next contents
    while the GPU computes.
    """
    return rows.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else rows.to(device)


class EncoderInputs(Protocol):
    """Gives the inputs of contents by number; `contents` has each item's, (N + 1,), and -1 for none."""

    contents: Tensor

    def __call__(self, contents: Tensor) -> tuple[Tensor, ...]:
        """The inputs of some contents, (K,) numbers."""
        ...


class InputsToCome:
    """Stands for inputs that are not extracted yet: a model can be built with it, and not be run.

    Every item counts as having content, for which ones have none is known only from the extraction.
    """

    def __init__(self, item_count: int) -> None:
        self.contents: Tensor = torch.zeros(item_count + 1, dtype=torch.int64)
        self.contents[PADDING] = -1

    def __call__(self, contents: Tensor) -> tuple[Tensor, ...]:
        """Never called."""
        raise AssertionError("the inputs of the encoder are not extracted yet")


class StoredInputs:
    """Reads encoder inputs from a store and puts them on `device`.

    `contents`, on that device too, has each item's content by number 0…R-1, (N + 1,), and -1 for the padding
    and for items without content. `padding` is the token id that fills short texts up.
    """

    def __init__(self, info: StoreInfo, device: torch.device, padding: int = 0) -> None:
        self._store = open_store(info)
        self._kind, self._shape = info.kind, info.shape
        self._sequences = MODALITIES[info.modality].sequences
        self._device, self._padding = device, padding
        rows = self._store.rows
        # `distinct` (R,) are the rows in use, `numbers` which of them each item with content has. Example:
        # the rows 7 3 7 are the contents 1 0 1.
        distinct, numbers = np.unique(rows[rows >= 0], return_inverse=True)
        if self._sequences and info.kind != LAYERS:
            order = np.argsort(self._lengths(distinct), kind="stable")
            distinct = distinct[order]
            # The argsort of an order gives each content's new number: where `order` is 2 0 1, contents 0, 1,
            # 2 become 1, 2, 0.
            numbers = np.argsort(order, kind="stable")[numbers]
        self._rows = distinct
        contents = np.full(len(rows), -1, np.int64)
        contents[rows >= 0] = numbers
        self.contents: Tensor = torch.from_numpy(contents).to(device)

    def _lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The length in tokens of each row; all rows are read once for it."""
        lengths = np.empty(len(rows), np.int64)
        for low in range(0, len(rows), _AT_ONCE):
            part = slice(low, low + _AT_ONCE)
            lengths[part] = self._mask(torch.from_numpy(self._store.gather(rows[part]))).sum(dim=1).numpy()
        return lengths

    def _mask(self, rows: Tensor) -> Tensor:
        """Which of L places hold a token, (K, L).

        Token ids are 0 and more; what fills short texts up in the store is negative. Of activations it is
        0 in all D numbers.
        """
        return rows >= 0 if self._kind == "tokens" else rows.view(len(rows), *self._shape).any(dim=2)

    def __call__(self, contents: Tensor) -> tuple[Tensor, ...]:
        """The inputs of some contents, (K,) numbers on the CPU: pixels (K, 3, H, W), or ids and mask, (K, L).

        Of activations and layers what the store has, in float32.
        """
        rows = torch.from_numpy(self._store.gather(self._rows[contents.numpy()]))
        if self._kind == "tokens":
            return self._tokens(rows)
        rows = rows.view(len(rows), *self._shape)
        if self._kind == "activations":
            return self._activations(rows)
        inputs = sent(rows, self._device)
        return (inputs.float() if self._kind == LAYERS else inputs,)

    def _tokens(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Ids and mask, no wider than the longest text needs."""
        rows = sent(rows[:, : int(self._mask(rows).sum(dim=1).max())], self._device).long()
        mask = self._mask(rows)
        return rows.where(mask, self._padding), mask.long()

    def _activations(self, rows: Tensor) -> tuple[Tensor, ...]:
        """The frozen part's outputs in float32; for sequences also the mask, 0 where all D numbers are 0."""
        if not self._sequences:
            return (sent(rows, self._device).float(),)
        mask = self._mask(rows)
        longest = int(mask.sum(dim=1).max())
        return sent(rows[:, :longest], self._device).float(), sent(mask[:, :longest], self._device).long()
