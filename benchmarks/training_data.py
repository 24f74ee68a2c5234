"""What the training benchmarks train on: read or generated, and saved where every system's Python reads it.

Needs NumPy alone, in any version: peers run in environments of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHORTEST = 5  # actions of a generated user, as a 5-core leaves them


@dataclass(frozen=True)
class Log:
    """Users one after another, oldest action first: `items` in 1…`item_count`, `lengths` actions a user."""

    items: NDArray[np.int32]
    lengths: NDArray[np.int64]
    item_count: int

    @property
    def ends(self) -> NDArray[np.int64]:
        """Where each user's actions end, (U,)."""
        return np.cumsum(self.lengths)

    def train_lengths(self) -> NDArray[np.int64]:
        """Actions of each user without the last two, which are validation and test, (U,)."""
        return np.where(self.lengths >= 3, self.lengths - 2, self.lengths)

    def save(self, path: Path) -> Path:
        """Write the log where another process reads it."""
        np.savez(path, items=self.items, lengths=self.lengths, item_count=self.item_count)
        return path


def load(path: Path) -> Log:
    """Read a saved log."""
    with np.load(path) as arrays:
        return Log(arrays["items"], arrays["lengths"], int(arrays["item_count"]))


def read_sequences(path: Path) -> Log:
    """Read `user item item …` lines; items get the numbers 1…N in the order of theirs."""
    lines = [line.split()[1:] for line in path.read_text().splitlines() if line.strip()]
    numbers, items = np.unique(
        np.concatenate([np.array(line, dtype=np.int64) for line in lines]), return_inverse=True
    )
    return Log((items + 1).astype(np.int32), np.array([len(line) for line in lines]), len(numbers))


def generate(users: int, item_count: int, actions: int, seed: int = 1) -> Log:
    """Random actions: lengths with a long tail, items by Zipf's law, each item at least once."""
    rng = np.random.default_rng(seed)
    spare = rng.geometric(1 / (1 + users / max(1, actions - SHORTEST * users)), users).astype(np.float64)
    extra = rng.multinomial(actions - SHORTEST * users, spare / spare.sum())
    popularity = 1 / np.arange(1, item_count + 1)
    items = rng.choice(item_count, actions, p=popularity / popularity.sum()) + 1
    items[rng.permutation(actions)[:item_count]] = np.arange(1, item_count + 1)
    return Log(items.astype(np.int32), SHORTEST + extra, item_count)
