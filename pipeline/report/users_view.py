"""The view of users: histories of some test users, each run's recommendations, and the item taken next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.dataset import Int64, LoadedDataset, Queries, remake
from ...core.schema import USER_ID, USERS, USERS_FILE, read_table
from .model_answers import LISTED, ModelAnswers
from .shown_runs import ShownRun
from .words import short_id

HISTORY_SHOWN = 12  # newest items of a history
RARE = 5  # an item with fewer train actions is rare: the slices' 0 and 1-4


@dataclass(frozen=True)
class BrowsedUser:
    """One user. Items are numbers; `ranks` has one an evaluated run, None beyond the depth searched."""

    name: str
    history: Sequence[int]
    taken_before: int
    target: int
    ranks: Sequence[float | None]
    lists: Sequence[Sequence[int]]
    rare: bool
    new: bool

    def record(self) -> dict[str, Any]:
        """Plain JSON values, with short names: there are many."""
        return {
            "name": self.name,
            "history": list(self.history),
            "before": self.taken_before,
            "target": self.target,
            "ranks": list(self.ranks),
            "lists": [list(items) for items in self.lists],
            "rare": self.rare,
            "new": self.new,
        }


@dataclass(frozen=True)
class UsersView:
    """The users that were drawn of `asked` test users, for the runs in their order."""

    users: Sequence[BrowsedUser]
    asked: int
    runs: Sequence[str]

    def items(self) -> list[int]:
        """The items that are shown, the most wanted pictures first: what was taken, then heads of lists."""
        taken = [item for user in self.users for item in (user.target, *reversed(user.history))]
        listed = [
            items[place]
            for place in range(LISTED)
            for user in self.users
            for items in user.lists
            if place < len(items)
        ]
        return list(dict.fromkeys([*taken, *listed]))


def draw_users(queries: Queries, count: int, seed: int) -> Int64:
    """The rows of the users to browse, drawn by lot, in their order."""
    return np.sort(np.random.default_rng(seed).permutation(len(queries))[:count])


def users_view(
    dataset: LoadedDataset, rows: Int64, runs: Sequence[ShownRun], answers: Sequence[ModelAnswers]
) -> UsersView:
    """The runs' lists and ranks for the users in `rows` of the test split."""
    queries = dataset.split().test
    info = dataset.info
    names = read_table(info.folder / USERS_FILE, USERS, cure=remake(info.name), columns=[USER_ID])[USER_ID]
    train_counts = dataset.split().train.counts()
    users = []
    for place, row in enumerate(rows):
        start, end = int(queries.histories.starts[row]), int(queries.histories.ends[row])
        history, target = queries.histories.items[start:end], int(queries.targets[row])
        users.append(
            BrowsedUser(
                name=short_id(str(names[int(queries.users[row])].as_py())),
                history=[int(item) for item in history[-HISTORY_SHOWN:]],
                taken_before=len(history),
                target=target,
                ranks=[_rank(run, int(row)) for run in runs],
                lists=[[int(item) for item in answer.lists[place] if item] for answer in answers],
                rare=bool(train_counts[target] < RARE),
                new=bool(target not in history),
            )
        )
    return UsersView(users, len(queries), [run.label for run in runs])


def _rank(run: ShownRun, row: int) -> float | None:
    if run.ranks is None or "none" not in run.ranks.by_mask:
        return None
    rank = float(run.ranks.by_mask["none"][row])
    return None if np.isnan(rank) else rank
