"""Candidates of histories that are asked about again and again, as each validation asks the same ones."""

from __future__ import annotations

from ..core.dataset import Histories
from .candidates import CandidateGenerator, Candidates

ROOM = 1 << 30  # bytes: the candidates of some 50,000 users; those of further users are found again each time


class KeptCandidates:
    """Keeps the candidates that `generator` finds, for the histories that were asked about last.

    They are the same each time, for they depend on the train actions and the content alone, not on what the
    network has learned. Finding them takes twice as long as scoring them.
    """

    def __init__(self, generator: CandidateGenerator, room: int = ROOM) -> None:
        """Keep at most `room` bytes."""
        self._generator, self._room = generator, room
        self._histories: Histories | None = None
        self._kept: dict[tuple[int, int], Candidates] = {}
        self._free = room

    def candidates(self, histories: Histories, low: int, high: int) -> Candidates:
        """As `CandidateGenerator.candidates`."""
        if histories is not self._histories:
            self._histories, self._kept, self._free = histories, {}, self._room
        found = self._kept.get((low, high))
        if found is None:
            found = self._generator.candidates(histories, low, high)
            size = found.items.nbytes + found.features.nbytes
            if size <= self._free:
                self._kept[low, high] = found
                self._free -= size
        return found
