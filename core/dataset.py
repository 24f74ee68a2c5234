"""A preprocessed data set in memory: one flat array of items, and its split into train, validation and test.

Histories are never copied or padded here. A part of the split is a pair of bounds for each user into the flat
array: for a user with the items 4 9 2 7 at places 10…13, leave-one-out trains on places 10…11, validates on
item 2 and tests on item 7. So a split costs a few numbers a user.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .artifacts import read_json
from .errors import ArtifactError, DataError
from .schema import INTERACTIONS, INTERACTIONS_FILE, ITEM, MANIFEST_FILE, TIMESTAMP, USER, read_table

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

_SEED_OF_USERS = 1  # seed of the order of users from which --train-users-share takes the first


@dataclass(frozen=True)
class Histories:
    """Q histories, oldest item first: history q is `items[starts[q]:ends[q]]`.

    `items` holds item numbers 1…`item_count`. It may be longer than these histories together; which actions
    belong to them is decided by the bounds alone.
    """

    items: Int32
    starts: Int64
    ends: Int64
    item_count: int

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> Int64:
        """Actions per history, (Q,)."""
        return self.ends - self.starts

    def part(self, low: int, high: int) -> Histories:
        """Histories low…high-1."""
        return Histories(self.items, self.starts[low:high], self.ends[low:high], self.item_count)

    def take(self, rows: Int64) -> Histories:
        """The histories with these numbers, in this order."""
        return Histories(self.items, self.starts[rows], self.ends[rows], self.item_count)

    def distinct(self) -> tuple[Int64, Int64]:
        """Which items each history holds: the pairs of (history, item), sorted, each once."""
        width = self.item_count + 1
        # History and item as one number: sorting these sorts by history and then by item.
        keys = np.repeat(np.arange(len(self)), self.lengths) * width + self.flat()
        histories, items = np.divmod(np.unique(keys), width)
        return histories, items

    def flat(self) -> Int32:
        """The actions of all these histories after one another."""
        lengths = self.lengths
        # By how much each action's place in `items` is ahead of its place in the result. Example: histories
        # at 4…5 and 9…11 have the shifts 4 4 7 7 7, and 0 1 2 3 4 become 4 5 9 10 11.
        shift = np.repeat(self.starts - (np.cumsum(lengths) - lengths), lengths)
        actions: Int32 = self.items[np.arange(len(shift)) + shift]
        return actions

    def counts(self) -> Int64:
        """How often each item occurs, (N + 1,); entry 0, the padding, is 0."""
        return np.bincount(self.flat(), minlength=self.item_count + 1)


@dataclass(frozen=True)
class Queries:
    """Histories, each with its target: the item that followed, which a model is to rank."""

    users: Int32
    histories: Histories
    targets: Int32

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: Int64) -> Queries:
        """The queries with these numbers, in this order."""
        return Queries(self.users[rows], self.histories.take(rows), self.targets[rows])


@dataclass(frozen=True)
class Split:
    """The train histories, and the queries of validation and test."""

    train: Histories
    validation: Queries
    test: Queries

    def cold_items(self) -> NDArray[np.bool_]:
        """Which of items 1…N have no train action, (N,), whatever validation and test hold."""
        cold: NDArray[np.bool_] = self.train.counts()[1:] == 0
        return cold

    def with_train_users(self, share: float) -> Split:
        """The same validation and test queries, with train actions of only a share of the users.

        The share is of the users with a train action, and at least one is kept. The users are the first of a
        random order with a fixed seed: every model and every seed trains on the same users, and the users of
        a share of .2 are among those of .5. Users left out keep their numbers and have empty train histories.
        """
        if share == 1.0:
            return self
        train = self.train
        order = np.random.default_rng(_SEED_OF_USERS).permutation(np.flatnonzero(train.lengths > 0))
        taken = order[: max(1, round(share * len(order)))]
        ends = train.starts.copy()
        ends[taken] = train.ends[taken]
        return Split(Histories(train.items, train.starts, ends, train.item_count), self.validation, self.test)


@dataclass(frozen=True)
class DatasetInfo:
    """The manifest of a data set, without its tables: enough to plan a run of any model on it."""

    name: str
    folder: Path
    manifest: dict[str, Any]

    @property
    def user_count(self) -> int:
        """U, the number of users; users are 0…U-1."""
        return int(self.manifest["counts"]["users"])

    @property
    def item_count(self) -> int:
        """N, the number of items; items are 1…N."""
        return int(self.manifest["counts"]["items"])

    @property
    def fingerprint(self) -> str:
        """The hash of the actions and the split, from the manifest."""
        return str(self.manifest["fingerprint"])

    @property
    def by_time(self) -> bool:
        """Whether the split is a global one by time; else it is leave-one-out."""
        return bool(self.manifest.get("split", {}).get("kind") == "time")


@dataclass(frozen=True)
class LoadedDataset:
    """The actions of one data set in memory, as models and evaluation need them.

    `cuts` says, under a global time split, where in `histories.items` each user's validation part and test
    part begin; it is None where the split is leave-one-out.
    """

    info: DatasetInfo
    histories: Histories
    cuts: tuple[Int64, Int64] | None = None

    def split(self) -> Split:
        """The split that the data set was preprocessed for."""
        return self.leave_one_out() if self.cuts is None else self._by_time(*self.cuts)

    def leave_one_out(self) -> Split:
        """A user's last item is the test target, the one before the validation target.

        Users with fewer than three actions are trained on whole and asked nothing.
        """
        whole = self.histories
        asked = np.flatnonzero(whole.lengths >= 3)
        held_out = np.where(whole.lengths >= 3, 2, 0)
        train = Histories(whole.items, whole.starts, whole.ends - held_out, whole.item_count)

        def ask(back: int) -> Queries:
            # The item at a history's (exclusive) end is the target: with `back` 2 that is the last but one.
            ends = whole.ends[asked] - back
            histories = Histories(whole.items, whole.starts[asked], ends, whole.item_count)
            return Queries(asked.astype(np.int32), histories, whole.items[ends])

        return Split(train, validation=ask(2), test=ask(1))

    def _by_time(self, validation_starts: Int64, test_starts: Int64) -> Split:
        """Train on what happened before validation; ask each user's first action of either later part.

        Only users with an action before a part and one in it are asked.
        """
        whole = self.histories
        train = Histories(whole.items, whole.starts, validation_starts, whole.item_count)

        def ask(starts: Int64, ends: Int64) -> Queries:
            # `starts` and `ends` bound the part of each user: something came before
            # it, and something is in it.
            asked = np.flatnonzero((starts > whole.starts) & (starts < ends))
            histories = Histories(whole.items, whole.starts[asked], starts[asked], whole.item_count)
            return Queries(asked.astype(np.int32), histories, whole.items[starts[asked]])

        return Split(train, ask(validation_starts, test_starts), ask(test_starts, whole.ends))


def load_times(info: DatasetInfo) -> Int64:
    """The time of every action, in the order of `LoadedDataset.histories.items`.

    Raises ArtifactError where the table is missing or damaged.
    """
    table = read_table(
        info.folder / INTERACTIONS_FILE, INTERACTIONS, cure=remake(info.name), columns=[TIMESTAMP]
    )
    times: Int64 = table[TIMESTAMP].to_numpy()
    return times


def remake(name: str) -> str:
    """The cure for a damaged table of data set `name`, as an error says it."""
    return f"make data set {name} again with: tssr preprocess … --force"


def describe_dataset(folder: Path) -> DatasetInfo:
    """Read the manifest of a data set that `tssr preprocess` wrote.

    Raises ArtifactError where it is missing, damaged or lacks what every run needs.
    """
    cure = remake(folder.name)
    info = DatasetInfo(folder.name, folder, read_json(folder / MANIFEST_FILE, cure=cure))
    try:
        _ = info.user_count, info.item_count, info.fingerprint
    except (KeyError, TypeError, ValueError):
        raise ArtifactError(f"{folder / MANIFEST_FILE} lacks counts or fingerprint; {cure}") from None
    return info


def load_dataset(info: DatasetInfo) -> LoadedDataset:
    """Read the actions of a data set that `tssr preprocess` wrote.

    Raises ArtifactError where a table is missing, damaged, out of order or does not fit the manifest.
    """
    folder, by_time = info.folder, info.by_time
    cure = remake(info.name)
    user_count, item_count = info.user_count, info.item_count
    columns = [USER, ITEM, TIMESTAMP] if by_time else [USER, ITEM]
    table = read_table(folder / INTERACTIONS_FILE, INTERACTIONS, cure=cure, columns=columns)
    users, items = table[USER].to_numpy(), table[ITEM].to_numpy()
    if len(users) == 0:
        raise DataError(f"{folder / INTERACTIONS_FILE} is empty; {cure}")
    if np.any(np.diff(users) < 0) or users[0] != 0 or users[-1] != user_count - 1:
        raise ArtifactError(
            f"{folder / INTERACTIONS_FILE}: users are not 0…{user_count - 1} in order; {cure}"
        )
    if items.min() < 1 or items.max() > item_count:
        raise ArtifactError(f"{folder / INTERACTIONS_FILE}: an item is not in 1…{item_count}; {cure}")
    # The table is sorted by user, so the counts of users say where each one's actions begin and end.
    offsets = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=user_count))])
    histories = Histories(items, offsets[:-1], offsets[1:], item_count)
    if histories.lengths.min() == 0:
        user = int(histories.lengths.argmin())
        raise ArtifactError(f"{folder / INTERACTIONS_FILE}: user {user} has no action; {cure}")
    if not by_time:
        return LoadedDataset(info, histories)
    times, split = table[TIMESTAMP].to_numpy(), info.manifest["split"]

    def first_from(moment: int) -> Int64:
        # A user's actions are in order of time, so as many as are earlier come first.
        return histories.starts + np.bincount(users[times < moment], minlength=user_count)

    cuts = (first_from(split["validation_from"]), first_from(split["test_from"]))
    return LoadedDataset(info, histories, cuts)
