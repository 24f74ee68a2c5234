"""Encoding outside ids as integer codes batch by batch, so that no whole column of text is in memory."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

Int32 = NDArray[np.int32]


class IdCoder:
    """Gives each distinct id a code, 0 for the first, the same in every batch."""

    def __init__(self) -> None:
        self._type = pl.Categorical(pl.Categories.random())
        self._alive = pl.Series([], dtype=self._type)  # Polars forgets codes that no series uses
        self._count = 0

    def codes(self, ids: pa.Array) -> Int32:
        """The codes of a batch of ids without nulls; of a dictionary array only the words are looked up."""
        if isinstance(ids, pa.DictionaryArray):
            codes: Int32 = self.codes(ids.dictionary)[ids.indices.to_numpy()]
            return codes
        coded = pl.Series(ids, dtype=pl.String).cast(self._type).to_physical().to_numpy().astype(np.int32)
        self._count = max(self._count, int(coded.max(initial=-1)) + 1)
        return coded

    def newcomers(self, ids: pa.Array) -> NDArray[np.bool_]:
        """Which places of a batch hold an id for the first time, in all batches up to here."""
        before = self._count
        codes = self.codes(ids)
        places = np.flatnonzero(codes >= before)
        first = np.zeros(len(codes), bool)
        first[places[np.unique(codes[places], return_index=True)[1]]] = True
        return first

    def ordered(self) -> tuple[pl.Series, Int32]:
        """All ids in the order of their bytes, and the rank that takes the place of each code.

        To be called once, at the end: the coder forgets the ids before they are sorted, which is when most
        memory is needed.
        """
        codes = pl.Series(np.arange(self._count, dtype=np.uint32))
        ids = codes.cat.to(self._type).cast(pl.String)
        del self._alive, self._type
        order = ids.arg_sort().to_numpy()
        ranks = np.empty(len(order), np.int32)
        ranks[order] = np.arange(len(order), dtype=np.int32)
        return ids.gather(order), ranks
