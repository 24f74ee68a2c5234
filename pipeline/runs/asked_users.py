"""The users to recommend to: users of the data set, or histories from a file or from Python."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from ...core.dataset import DatasetInfo, Histories, LoadedDataset, Queries, remake
from ...core.errors import DataError, UsageError, os_errors_as_tssr
from ...core.schema import ITEM_ID, ITEMS, ITEMS_FILE, USER_ID, USERS, USERS_FILE, read_table
from ...core.words import first_few
from ..raw.custom import TABLE_KINDS, Custom, parse_map
from ..raw.encodings import not_utf_8
from ..raw.files import RawFile
from ..raw.numbers import as_ids
from ..raw.problems import Problems
from ..raw.rows import text_array
from .recommend_settings import RecommendSettings

STDIN = Path("-")
DEFAULT_MAP = f"user={USER_ID},item={ITEM_ID}"
NO_TARGET = 0
UNSEEN = -1  # the number of a user whom the data set does not know


@dataclass(frozen=True)
class AskedUsers:
    """Q users: their names as the person gave them, their histories, and notes on what was left out."""

    names: Sequence[str]
    queries: Queries
    notes: Sequence[str]


def known_users(dataset: LoadedDataset, ids: Sequence[str] | None) -> AskedUsers:
    """Users of the data set, each with all their actions: those with these ids, or all where `ids` is None.

    Raises UsageError for an id that it does not have.
    """
    info = dataset.info
    cure = remake(info.name)
    everyone = read_table(info.folder / USERS_FILE, USERS, cure=cure, columns=[USER_ID])[USER_ID]
    names = everyone.to_pylist() if ids is None else ids
    ids = list(dict.fromkeys(names))  # a user who is named twice gets one list
    numbers = pc.index_in(pa.array(ids, pa.string()), value_set=everyone.combine_chunks())
    for name, number in zip(ids, numbers.to_pylist(), strict=True):
        if number is None:
            raise UsageError(
                f"--user {name}: {info.name} has no such user; its first is {everyone[0].as_py()}. "
                "A user it does not have is ranked by --history FILE"
            )
    users = numbers.to_numpy().astype(np.int64)
    none = np.full(len(users), NO_TARGET, np.int32)
    return AskedUsers(ids, Queries(users.astype(np.int32), dataset.histories.take(users), none), [])


# An `Ask` is called once the data set is read, which is needed to turn outside ids into item numbers.
Ask = Callable[[LoadedDataset], AskedUsers]


def users_of(ids: Sequence[str] | None) -> Ask:
    """Ask for users of the data set by their ids, or for all of them."""
    return lambda dataset: known_users(dataset, ids)


def users_named(names: Sequence[str], items: Sequence[Sequence[str]], *, strict: bool) -> Ask:
    """Ask for users who need not be in the data set: their names, and the outside ids of their items."""
    return lambda dataset: _by_history(dataset.info, "histories=", names, items, strict=strict)


def users_in(path: Path, settings: RecommendSettings) -> Ask:
    """Ask for the users of a file of histories."""
    return lambda dataset: given_users(dataset.info, path, settings)


def given_users(
    dataset: DatasetInfo, path: Path, settings: RecommendSettings, source: str | None = None
) -> AskedUsers:
    """The users of the file `path`, or of stdin; only the history given there counts, known user or not.

    `source` is how messages name where the histories come from, where that is not the option with the path.
    Items that the data set does not have are left out and counted, and so are users without any known item.
    Raises UsageError or DataError for a file that is missing, unreadable or of unknown items only, and, when
    strict, for the first thing that would be left out.
    """
    problems = Problems(strict=settings.strict, allow_loss=settings.allow_loss)
    names, items = _read(path, settings, problems)
    if not names:
        raise DataError(f"{source or path} holds no history{problems.why_empty()}")
    problems.refuse_loss()
    source = source or f"--history {path}"
    asked = _by_history(dataset, source, names, items, strict=settings.strict)
    return replace(asked, notes=[*problems.lines(), *asked.notes])


def _by_history(
    dataset: DatasetInfo, source: str, names: Sequence[str], items: Sequence[Sequence[str]], *, strict: bool
) -> AskedUsers:
    """Users with the given histories; `source` is how messages name where the histories come from."""
    if not names:
        raise DataError(f"{source} holds no history")
    numbers, notes = _numbers(dataset, source, names, items, strict=strict)
    lengths = np.array([len(own) for own in numbers])
    ends = np.cumsum(lengths)
    flat = np.fromiter(chain.from_iterable(numbers), np.int32, int(ends[-1]))
    # Users with at least one known item; the others get no list.
    able = np.flatnonzero(lengths)
    histories = Histories(flat, (ends - lengths)[able], ends[able], dataset.item_count)
    users = np.full(len(able), UNSEEN, np.int32)
    queries = Queries(users, histories, np.full(len(able), NO_TARGET, np.int32))
    return AskedUsers([names[row] for row in able.tolist()], queries, notes)


def _read(path: Path, settings: RecommendSettings, problems: Problems) -> tuple[list[str], list[list[str]]]:
    """The users' names and the outside ids of what they took."""
    if path != STDIN and not path.is_file():
        raise UsageError(f"--history {path}: there is no such file")
    if path != STDIN and RawFile(path).kind in TABLE_KINDS:
        return _table(path, settings, problems)
    if settings.map is not None:
        raise UsageError(
            f"--map is for tables of actions (.{', .'.join(TABLE_KINDS)}); {path} is read as lines"
        )
    with os_errors_as_tssr(f"read {path}", path):
        data = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
    try:
        lines = data.decode(settings.encoding).removeprefix("\ufeff").splitlines()
    except UnicodeDecodeError as error:
        cure = not_utf_8(data[max(error.start - 20, 0) :][:40]).cure
        raise DataError(
            f"--history {path} is not {settings.encoding.upper()} text "
            f"({error.reason} at byte {error.start}); {cure}"
        ) from None
    names = [f"line {number}" for number in range(1, len(lines) + 1)]
    # The ids of all lines are spelled in one go, and then dealt out to the lines again.
    words = [line.split() for line in lines]
    ids = iter(as_ids(text_array(list(chain.from_iterable(words)))).texts.to_pylist())
    return names, [list(islice(ids, len(own))) for own in words]


def _table(path: Path, settings: RecommendSettings, problems: Problems) -> tuple[list[str], list[list[str]]]:
    columns = parse_map(settings.map or DEFAULT_MAP)
    if unread := sorted(set(columns) - {"user", "item", "time"}):
        raise UsageError(f"--map {unread[0]}={columns[unread[0]]}: a history has user, item and time alone")
    batches = Custom(path, None, columns, "rows", None, settings.encoding).actions(problems)
    frames = [
        pl.DataFrame({"user": pl.from_arrow(b.users), "item": pl.from_arrow(b.items), "time": b.timestamps})
        for b in batches
    ]
    if not frames:
        return [], []
    rows = pl.concat(frames)
    users = (
        # One row a user, in the order of their first rows in the file; a user's items by time, those of equal
        # time as they stand in the file.
        rows.with_row_index("row")
        .sort("time", "row")
        .group_by("user")
        .agg(pl.col("item"), pl.col("row").min())
        .sort("row")
    )
    return users["user"].to_list(), users["item"].to_list()


def _numbers(
    dataset: DatasetInfo, source: str, names: Sequence[str], items: Sequence[Sequence[str]], *, strict: bool
) -> tuple[list[list[int]], list[str]]:
    """Each user's items by the data set's numbers, and notes on what was left out."""
    cure = remake(dataset.name)
    known = read_table(dataset.folder / ITEMS_FILE, ITEMS, cure=cure, columns=[ITEM_ID])[ITEM_ID].to_pylist()
    number_of = {name: number for number, name in enumerate(known, start=1)}
    numbers = [[number_of[item] for item in own if item in number_of] for own in items]
    unknown = [item for own in items for item in own if item not in number_of]
    without = [name for name, own in zip(names, numbers, strict=True) if not own]
    notes = []
    if unknown:
        ids = list(dict.fromkeys(unknown))
        notes.append(
            f"{len(unknown):,} of {sum(map(len, items)):,} actions are on items that {dataset.name} does not "
            f"have ({first_few(ids)})"
        )
    if len(without) == len(names):
        why = notes[0] if notes else "every line is empty"
        raise DataError(f"{source} leaves nobody to recommend to: {why}")
    if without:
        share = f"{len(without):,} of {len(names):,} users"
        notes.append(f"{share} have no known item and get no list ({first_few(without)})")
    if strict and notes:
        raise DataError(f"{source}: {notes[0]} (leave out --strict to go on without)")
    return numbers, notes
