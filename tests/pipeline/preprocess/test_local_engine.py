import hashlib
import itertools

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tssr.core.errors import DataError
from tssr.pipeline.preprocess import local_engine
from tssr.pipeline.preprocess.action_log import collect
from tssr.pipeline.preprocess.local_engine import LocalEngine
from tssr.pipeline.preprocess.protocol import ProtocolSettings, run_steps, steps_of
from tssr.pipeline.raw.dump import Actions

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["u9", "u10", "ü", "a"]),
        st.sampled_from(["i2", "i10", "x"]),
        st.sampled_from([0, 1, 2**24 + 1, 2**24 + 2, -5, 2**62, -(2**62)]),
    ),
    min_size=1,
    max_size=40,
)


def batch(rows):
    columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
    return Actions(
        pa.array(columns[0], pa.string()), pa.array(columns[1], pa.string()), np.array(columns[2], np.int64)
    )


def engine(rows, usable=()):
    return LocalEngine(collect([batch(rows)]), pl.Series(usable, dtype=pl.String))


def back(left):
    log = left.ordered().log
    return [
        (log.user_ids[user], log.item_ids[item], time)
        for user, item, time in zip(
            log.users.tolist(), log.items.tolist(), log.timestamps.tolist(), strict=True
        )
    ]


def in_order(rows):
    return sorted(rows, key=lambda row: (row[0].encode(), row[2]))


@given(ROWS)
def test_order_is_user_time_source_row_and_ids_are_ordered_by_bytes(rows):
    whole = engine(rows)
    assert back(whole) == in_order(rows)
    assert whole.log.user_ids.to_list() == sorted({row[0] for row in rows}, key=str.encode)
    assert whole.log.item_ids.to_list() == sorted({row[1] for row in rows}, key=str.encode)


def one_user(rows):
    first = min({row[0] for row in rows}, key=lambda user: hashlib.sha256(f"0:{user}".encode()).digest())
    return [row for row in in_order(rows) if row[0] == first]


@given(ROWS, st.integers(1, 9))
def test_the_size_of_the_parts_does_not_matter(rows, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_engine, "PART", size)
        patch.setattr(local_engine, "PARTS", 100)
        assert back(engine(rows)) == in_order(rows)
        assert back(engine(rows).drawn(1, 0)) == one_user(rows)
        whole = engine(rows).finished()
        tables = pa.concat_tables(whole.interactions).to_pylist()
    expected = [(whole.user_ids[row["user"]], whole.item_ids[row["item"] - 1]) for row in tables]
    assert expected == [row[:2] for row in in_order(rows)]
    assert [row["timestamp"] for row in tables] == [row[2] for row in in_order(rows)]
    places = [row["position"] for row in tables]
    assert all(place == 0 or place == before + 1 for before, place in itertools.pairwise(places))


@given(ROWS, st.integers(1, 7))
def test_batches_do_not_matter(rows, size):
    once = collect([batch(rows)])
    parts = collect([batch(rows[start : start + size]) for start in range(0, len(rows), size)])
    assert once.users.tolist() == parts.users.tolist()
    assert once.items.tolist() == parts.items.tolist()
    assert once.timestamps.tolist() == parts.timestamps.tolist()


@given(ROWS)
def test_repeats(rows):
    merged, dropped, seen = [], [], set()
    for row in in_order(rows):
        if not merged or merged_end(merged) != row[:2]:
            merged.append(row)
        if row[:2] not in seen:
            dropped.append(row)
        seen.add(row[:2])
    assert back(engine(rows).without_repeats(consecutive=True)) == merged
    assert back(engine(rows).without_repeats(consecutive=False)) == dropped


def merged_end(rows):
    return rows[-1][:2]


@given(ROWS, st.integers(1, 5))
def test_last(rows, count):
    expected = []
    for user in sorted({row[0] for row in rows}, key=str.encode):
        expected += [row for row in in_order(rows) if row[0] == user][-count:]
    assert back(engine(rows).last(count)) == expected


@given(ROWS, st.integers(1, 3), st.integers(0, 3))
def test_draw_takes_the_smallest_hashes(rows, count, seed):
    users = {row[0] for row in rows}
    lots = sorted(users, key=lambda user: hashlib.sha256(f"{seed}:{user}".encode()).digest())
    expected = [row for row in in_order(rows) if row[0] in lots[:count]]
    assert back(engine(rows).drawn(count, seed)) == expected


def test_draws_differ_between_seeds():
    rows = [(f"u{number}", "i", 0) for number in range(50)]
    first, second = (set(back(engine(rows).drawn(10, seed))) for seed in (0, 1))
    assert len(first) == len(second) == 10
    assert first != second


def test_content_and_counts():
    left = engine([("a", "x", 1), ("b", "y", 2), ("a", "y", 0)], usable=("y",)).with_content()
    assert left.counts() == (2, 1, 2)
    assert back(left) == [("a", "y", 0), ("b", "y", 2)]


def names(**settings):
    return [step.name for step in steps_of(ProtocolSettings(**settings), has_content=True)]


def test_the_order_of_the_steps_is_the_papers():
    assert names() == ["items without content dropped", "5-core"]
    assert names(keep_missing_content=True, min_actions=0) == []
    assert names(repeats="drop", keep_last=13, users=10) == [
        "items without content dropped",
        "repeats dropped",
        "last 13 actions kept",
        "5-core",
        "up to 10 users drawn",
    ]
    assert steps_of(ProtocolSettings(), has_content=False)[0].name == "5-core"
    assert names(keep_last=13, keep_last_when="after", users=10)[1:] == [
        "5-core",
        "last 13 actions kept",
        "up to 10 users drawn",
    ]


def test_the_step_that_empties_is_named_with_what_came_before():
    steps = steps_of(ProtocolSettings(min_actions=2, repeats="drop"), has_content=False)
    with pytest.raises(DataError) as caught:
        run_steps(engine([("a", "x", 0), ("a", "x", 1)]), steps)
    assert str(caught.value) == (
        "step '2-core' left nothing (read: 2 actions → repeats dropped: 1 actions → 2-core: 0 actions); "
        "try --repeats keep or a smaller --min-actions"
    )


def test_only_steps_that_dropped_something_are_blamed():
    steps = steps_of(ProtocolSettings(min_actions=2, repeats="drop"), has_content=False)
    with pytest.raises(DataError, match=r"2-core: 0 actions\); try a smaller --min-actions$"):
        run_steps(engine([("a", "x", 0), ("b", "y", 1)]), steps)
