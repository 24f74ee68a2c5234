"""Histories and splits against brute force, and every way in which a data set can be broken."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tssr.core.dataset import Histories, LoadedDataset, describe_dataset, load_dataset
from tssr.core.errors import ArtifactError, DataError
from tssr.core.schema import INTERACTIONS, INTERACTIONS_FILE, MANIFEST_FILE

ITEM_COUNT = 6
item_lists = st.lists(st.lists(st.integers(1, ITEM_COUNT), min_size=1, max_size=7), min_size=1, max_size=6)


def as_histories(lists):
    ends = np.cumsum([len(items) for items in lists])
    starts = ends - [len(items) for items in lists]
    flat = np.array([item for items in lists for item in items], dtype=np.int32)
    return Histories(flat, starts, ends, ITEM_COUNT)


def as_lists(histories):
    bounds = zip(histories.starts, histories.ends, strict=True)
    return [histories.items[start:end].tolist() for start, end in bounds]


@given(item_lists, st.data())
def test_some_of_the_queries_are_their_users_histories_and_targets(lists, data):
    queries = LoadedDataset(None, as_histories([[*items, 1, 2] for items in lists])).leave_one_out().test
    rows = data.draw(st.lists(st.integers(0, len(queries) - 1)))
    some = queries.take(np.array(rows, np.int64))
    assert as_lists(some.histories) == [[*lists[row], 1] for row in rows]
    assert (some.users.tolist(), some.targets.tolist()) == (rows, [2] * len(rows))


@given(item_lists)
def test_leave_one_out_is_the_brute_force(lists):
    split = LoadedDataset(None, as_histories(lists)).leave_one_out()
    asked = [user for user, items in enumerate(lists) if len(items) >= 3]
    assert as_lists(split.train) == [items[:-2] if len(items) >= 3 else items for items in lists]
    for queries, back in ((split.validation, 2), (split.test, 1)):
        assert queries.users.tolist() == asked
        assert as_lists(queries.histories) == [lists[user][:-back] for user in asked]
        assert queries.targets.tolist() == [lists[user][-back] for user in asked]
        assert len(queries) == len(asked)


@given(item_lists)
def test_counts_and_flat_see_the_bounds_alone(lists):
    train = LoadedDataset(None, as_histories(lists)).leave_one_out().train
    kept = [item for items in as_lists(train) for item in items]
    assert train.flat().tolist() == kept
    assert train.counts().tolist() == [kept.count(item) for item in range(ITEM_COUNT + 1)]


def test_a_canary_that_is_only_a_target_is_counted_nowhere():
    split = LoadedDataset(None, as_histories([[1, 2, 3, 6], [2, 1, 5, 4]])).leave_one_out()
    assert split.train.counts()[[3, 4, 5, 6]].tolist() == [0, 0, 0, 0]


def write_dataset(folder, users=(0, 0, 1), items=(1, 2, 2), manifest=None, schema=INTERACTIONS):
    folder.mkdir(exist_ok=True)
    columns = [users, items, range(len(users)), [0] * len(users)]
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)]
    pq.write_table(pa.table(arrays, schema=schema), folder / INTERACTIONS_FILE)
    if manifest is None:
        manifest = {"counts": {"users": 2, "items": 2}, "fingerprint": "abc"}
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    return folder


def test_a_dataset_is_read(tmp_path):
    info = describe_dataset(write_dataset(tmp_path / "shop"))
    assert (info.name, info.user_count, info.item_count) == ("shop", 2, 2)
    assert info.fingerprint == "abc"
    assert as_lists(load_dataset(info).histories) == [[1, 2], [2]]


@pytest.mark.parametrize(
    ("broken", "error", "words"),
    [
        ({"users": (), "items": ()}, DataError, r"interactions\.parquet is empty"),
        ({"users": (0, 1, 0)}, ArtifactError, r"users are not 0…1 in order"),
        ({"users": (1, 1, 1)}, ArtifactError, r"users are not 0…1 in order"),
        ({"users": (0, 0, 2)}, ArtifactError, r"users are not 0…1 in order"),
        ({"items": (0, 1, 2)}, ArtifactError, r"an item is not in 1…2"),
        ({"items": (1, 2, 3)}, ArtifactError, r"an item is not in 1…2"),
        (
            {
                "users": (0, 0, 2),
                "manifest": {"counts": {"users": 3, "items": 2}, "fingerprint": "abc"},
            },
            ArtifactError,
            r"user 1 has no action",
        ),
        ({"manifest": {"counts": {"users": 2}}}, ArtifactError, r"lacks counts or fingerprint"),
        (
            {"manifest": {"counts": {"users": 2, "items": 2}}},
            ArtifactError,
            r"lacks counts or fingerprint",
        ),
        (
            {"schema": INTERACTIONS.set(1, pa.field("item", pa.int64()))},
            ArtifactError,
            r"column 'item' is int64, expected int32",
        ),
    ],
)
def test_a_broken_dataset_says_what_is_wrong_and_how_to_make_it_again(tmp_path, broken, error, words):
    folder = write_dataset(tmp_path / "shop", **broken)
    with pytest.raises(error, match=words + r".*; make data set shop again with: tssr preprocess"):
        load_dataset(describe_dataset(folder))


@pytest.mark.parametrize("file", [MANIFEST_FILE, INTERACTIONS_FILE])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_lost_or_cut_file_is_named(tmp_path, file, damage):
    folder = write_dataset(tmp_path / "shop")
    path = folder / file
    whole = path.read_bytes()
    path.unlink() if damage == "missing" else path.write_bytes(whole[: len(whole) // 2])
    words = "missing" if damage == "missing" else r"damaged \("
    with pytest.raises(ArtifactError, match=rf"{file} is {words}.*make data set shop again"):
        load_dataset(describe_dataset(folder))


def test_a_missing_column_is_named(tmp_path):
    folder = write_dataset(tmp_path / "shop")
    pq.write_table(pq.read_table(folder / INTERACTIONS_FILE).drop(["item"]), folder / INTERACTIONS_FILE)
    with pytest.raises(ArtifactError, match=r"interactions\.parquet.*has no column 'item'"):
        load_dataset(describe_dataset(folder))


timed_lists = st.lists(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, ITEM_COUNT)), min_size=1, max_size=7).map(sorted),
    min_size=1,
    max_size=5,
)


def write_timed(folder, lists, split):
    rows = [
        (user, item, time, place)
        for user, each in enumerate(lists)
        for place, (time, item) in enumerate(each)
    ]
    columns = [
        pa.array(column, field.type)
        for column, field in zip(zip(*rows, strict=True), INTERACTIONS, strict=True)
    ]
    pq.write_table(pa.Table.from_arrays(columns, schema=INTERACTIONS), folder / INTERACTIONS_FILE)
    counts = {"users": len(lists), "items": ITEM_COUNT, "actions": len(rows)}
    manifest = {"fingerprint": "f", "counts": counts, "split": split}
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))


@given(timed_lists, st.integers(0, 10), st.integers(0, 10))
def test_the_time_split_is_the_brute_force(tmp_path_factory, lists, one, other):
    validation_from, test_from = sorted((one, other))
    folder = tmp_path_factory.mktemp("timed")
    write_timed(folder, lists, {"kind": "time", "validation_from": validation_from, "test_from": test_from})
    split = load_dataset(describe_dataset(folder)).split()
    before = [[item for time, item in each if time < validation_from] for each in lists]
    assert as_lists(split.train) == before
    for queries, start, end in (
        (split.validation, validation_from, test_from),
        (split.test, test_from, 11),
    ):
        histories = [[item for time, item in each if time < start] for each in lists]
        parts = [[item for time, item in each if start <= time < end] for each in lists]
        asked = [user for user in range(len(lists)) if histories[user] and parts[user]]
        assert queries.users.tolist() == asked
        assert as_lists(queries.histories) == [histories[user] for user in asked]
        assert queries.targets.tolist() == [parts[user][0] for user in asked]


@pytest.mark.parametrize(
    "split", [{"kind": "leave-one-out"}, {"kind": "time", "validation_from": 2, "test_from": 3}]
)
def test_a_canary_that_is_only_a_test_target_is_nowhere_in_train_or_validation(tmp_path, split):
    canary = ITEM_COUNT
    write_timed(tmp_path, [[(0, 1), (1, 2), (2, 3), (3, canary)], [(0, 2), (1, 1), (2, 4), (3, 5)]], split)
    found = load_dataset(describe_dataset(tmp_path)).split()
    assert found.test.targets.tolist() == [canary, 5]
    for seen in (found.train, found.validation.histories, found.test.histories):
        assert canary not in seen.flat()
        assert seen.counts()[canary] == 0
    assert canary not in found.validation.targets


@given(item_lists, st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_share_of_the_train_users_is_nested_and_asks_the_same(lists, one, other):
    split = LoadedDataset(None, as_histories(lists)).leave_one_out()
    whole = as_lists(split.train)
    trained = {}
    for share in (one, other):
        part = split.with_train_users(share)
        assert part.validation is split.validation
        assert part.test is split.test
        kept = as_lists(part.train)
        assert all(items in ([], whole[user]) for user, items in enumerate(kept))
        trained[share] = {user for user, items in enumerate(kept) if items}
        active = sum(len(items) > 0 for items in whole)
        assert len(trained[share]) == min(active, max(1, round(share * active)))
    assert trained[min(one, other)] <= trained[max(one, other)]


def test_users_for_training_are_drawn_and_not_the_first_ones():
    split = LoadedDataset(None, as_histories([[1, 2, 3, 4]] * 100)).leave_one_out()
    trained = np.flatnonzero(split.with_train_users(0.2).train.lengths)
    assert len(trained) == 20
    assert 30 < trained.mean() < 70
