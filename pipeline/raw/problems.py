"""Malformed rows: counted for each file, three of them shown with their line, fatal when strict or many.

A few malformed rows of a large log do no harm and are dropped. But if more than LARGEST_LOSS of a file's rows
are dropped for one reason, the whole file is probably not what the reader expects: it has another encoding,
another format of times, or is of another edition. Then the command stops, unless --allow-loss is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError

SHOWN = 3
LARGEST_LOSS = 0.05
MEND = "mend them"


@dataclass(frozen=True)
class Reason:
    """Why rows are dropped: one kind of fault, whatever values show it, and what mends it.

    Reasons of one kind are one reason: the cure may name what the first row showed.
    """

    kind: str
    cure: str = field(default=MEND, compare=False)


@dataclass
class FileRows:
    """What is known of one file's rows: how many were found, and how many were dropped for each reason."""

    found: int = 0
    dropped: Counter[Reason] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    first: dict[Reason, str] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """How many rows were dropped, for whatever reason."""
        return self.dropped.total()

    @property
    def shown(self) -> list[str]:
        """Up to SHOWN dropped rows: the first of each reason, beginning with what dropped most, then others.

        So where three rows lack a user and all others have unreadable times, the message tells of the times.
        """
        firsts = [self.first[reason] for reason, _ in self.dropped.most_common()]
        return list(dict.fromkeys([*firsts, *self.examples]))[:SHOWN]


class Problems:
    """What was wrong in the raw files of one run of `preprocess`."""

    def __init__(self, *, strict: bool = False, allow_loss: bool = False) -> None:
        self.strict = strict
        self.allow_loss = allow_loss
        self.notes: list[str] = []
        self._files: dict[object, FileRows] = {}  # two parts may have a file of one name
        self._tallies: Counter[str] = Counter()

    @property
    def malformed(self) -> int:
        """How many rows were dropped, of all files."""
        return sum(rows.lost for rows in self._files.values())

    @property
    def examples(self) -> list[str]:
        """Some malformed rows of each file, with their line."""
        return [example for rows in self._files.values() for example in rows.shown]

    def _of(self, file: object) -> FileRows:
        return self._files.setdefault(file, FileRows())

    def found(self, file: object, count: int) -> None:
        """Count rows that a reader met in `file`, good or bad: what the dropped ones are a share of."""
        self._of(file).found += count

    def row(self, file: object, line: int, words: str, reason: Reason | None = None) -> None:
        """Drop one row; `words` say what is wrong with it. Raises DataError at once when strict."""
        place, reason = f"{file}, line {line}: {words}", reason or Reason(words)
        if self.strict:
            more = "" if reason.cure == MEND else f"; {reason.cure}"
            raise DataError(f"{place} (mend the row, or leave out --strict to drop such rows{more})")
        rows = self._of(file)
        rows.dropped[reason] += 1
        rows.first.setdefault(reason, place)
        if len(rows.examples) < SHOWN:
            rows.examples.append(place)

    def rows(
        self,
        file: object,
        bad: NDArray[np.bool_],
        lines: Callable[[], Sequence[int]],
        words: Callable[[int], str],
        reason: Reason,
    ) -> None:
        """Drop every row marked in `bad`; lines and words are only asked for the rows that are shown."""
        count = int(bad.sum())
        if not count:
            return
        rows = self._of(file)
        some = SHOWN - len(rows.examples) or int(reason not in rows.first)
        shown = np.flatnonzero(bad)[: 1 if self.strict else some]
        if len(shown):
            numbers = lines()
            for index in shown.tolist():
                self.row(file, numbers[index], words(index), reason)
        rows.dropped[reason] += count - len(shown)

    def refuse_loss(self) -> None:
        """Raise DataError where more than LARGEST_LOSS of a file was dropped for one reason.

        Not where the person allowed it.
        """
        if self.allow_loss:
            return
        for file, rows in self._files.items():
            for reason, count in rows.dropped.most_common(1):
                if count > LARGEST_LOSS * rows.found:
                    share = f"{count:,} of {rows.found:,} rows ({_percent(count, rows.found)})"
                    raise DataError(
                        f"{share} of {file} would be dropped for one reason: {rows.first[reason]}; "
                        f"{reason.cure}, or go on without them: --allow-loss"
                    )

    def note(self, message: str) -> None:
        """Remember one line for the summary and the manifest."""
        self.notes.append(message)

    def tally(self, what: str, count: int = 1) -> None:
        """Count something that is no malformed row but is reported at the end, as "`count` `what`"."""
        if count:
            self._tallies[what] += count

    def record(self) -> dict[str, Any]:
        """The problems as plain JSON values for the manifest."""
        files = [
            {
                "file": str(file),
                "rows": rows.found,
                "dropped": {why.kind: count for why, count in rows.dropped.items()},
            }
            for file, rows in self._files.items()
        ]
        return {
            "malformed_rows": self.malformed,
            "first_malformed": self.examples,
            "files": files,
            "lines": self.lines(),
        }

    def losses(self) -> list[str]:
        """One line for each file that lost rows: how many, what share of it, and some of them."""
        return [
            f"{rows.lost:,} malformed {'row' if rows.lost == 1 else 'rows'} dropped: "
            f"{'; '.join(rows.shown)} ({_percent(rows.lost, rows.found)} of {file})"
            for file, rows in self._files.items()
            if rows.lost
        ]

    def why_empty(self) -> str:
        """What to say behind "has no rows": the losses and their cures; "" where no row was dropped."""
        dropped = [rows.dropped.most_common() for rows in self._files.values()]
        cures = dict.fromkeys(reason.cure for reasons in dropped for reason, _ in reasons)
        return f"; {'; '.join([*self.losses(), *cures])}" if self.malformed else ""

    def lines(self) -> list[str]:
        """What a person should read at the end."""
        tallies = (f"{count:,} {what}" for what, count in self._tallies.items())
        return [*self.losses(), *self.notes, *tallies]


def _percent(count: int, whole: int) -> str:
    """A share as a message shows it; a share of nothing is all of it."""
    share = 100 * count / max(whole, count)
    return f"{share:.1f} %" if share >= 0.05 else "less than 0.1 %"
