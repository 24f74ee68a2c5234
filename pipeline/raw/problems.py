"""Malformed rows: counted, the first three of each file shown with their line, fatal when strict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError

SHOWN = 3


class Problems:
    """What was wrong in the raw files of one run of `preprocess`."""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.malformed = 0
        self.examples: list[str] = []
        self.notes: list[str] = []
        self._shown: Counter[str] = Counter()
        self._tallies: Counter[str] = Counter()

    def row(self, file: object, line: int, reason: str) -> None:
        """Count one malformed row; raises DataError at once when strict."""
        place = f"{file}, line {line}: {reason}"
        if self.strict:
            raise DataError(f"{place} (mend the row, or leave out --strict to drop such rows)")
        self.malformed += 1
        if self._shown[str(file)] < SHOWN:
            self._shown[str(file)] += 1
            self.examples.append(place)

    def rows(
        self,
        file: object,
        bad: NDArray[np.bool_],
        lines: Callable[[], Sequence[int]],
        reason: Callable[[int], str],
    ) -> None:
        """Count every row marked in `bad`; lines and reasons are only asked for the rows that are shown."""
        count = int(bad.sum())
        if not count:
            return
        shown = np.flatnonzero(bad)[: 1 if self.strict else SHOWN - self._shown[str(file)]]
        if len(shown):
            numbers = lines()
            for index in shown.tolist():
                self.row(file, numbers[index], reason(index))
        self.malformed += count - len(shown)

    def note(self, message: str) -> None:
        """Remember one line for the summary and the manifest."""
        self.notes.append(message)

    def tally(self, what: str, count: int = 1) -> None:
        """Count what is no malformed row and yet worth a line at the end: `count` before the words `what`."""
        if count:
            self._tallies[what] += count

    def record(self) -> dict[str, Any]:
        """The problems as plain JSON values for the manifest."""
        return {"malformed_rows": self.malformed, "first_malformed": self.examples, "lines": self.lines()}

    def lines(self) -> list[str]:
        """What a person should read at the end."""
        said = [*self.notes, *(f"{count:,} {what}" for what, count in self._tallies.items())]
        if not self.malformed:
            return said
        rows = "row" if self.malformed == 1 else "rows"
        return [f"{self.malformed} malformed {rows} dropped: {'; '.join(self.examples)}", *said]
