"""The room on the disk that the stores of one command take, told and checked before any of them is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.artifacts import refuse_no_room
from ...core.progress import note
from ...core.words import size_in_words

CURE = "free space there, or choose a --workspace on another disk"


@dataclass(frozen=True)
class DiskNeed:
    """The rows that one store lacks; `given_up` bytes of older rows are deleted before."""

    kind: str
    noun: str
    rows: int
    row_bytes: int
    given_up: int = 0

    @property
    def bytes(self) -> int:
        """What the rows take on the disk."""
        return self.rows * self.row_bytes

    @property
    def more(self) -> int:
        """What they take beyond the older rows."""
        return max(0, self.bytes - self.given_up)

    def __str__(self) -> str:
        """Example: the activations of pictures take 24.5 MiB (64 of 401,408 bytes)."""
        size = size_in_words(self.bytes)
        return f"the {self.kind} of {self.noun} take {size} ({self.rows:,} of {self.row_bytes:,} bytes)"


def refuse_no_room_for_all(needs: Sequence[DiskNeed], stores: Path) -> None:
    """Say what each store will take; raise TssrError where the disk has no room for all of them together."""
    for need in needs:
        note(f"on the disk, {need}")
    if needs:
        what = " and ".join(f"the {need.kind} of {need.noun}" for need in needs)
        refuse_no_room(stores, sum(need.more for need in needs), what, CURE)
