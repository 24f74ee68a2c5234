"""Another system's lists are measured as a run is, and what cannot be measured is told in one line."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

from tssr.cli import main
from tssr.core.dataset import describe_dataset, load_dataset
from tssr.core.workspace import WorkspaceFolders

USERS, ITEMS = 60, 20


@pytest.fixture(scope="module")
def made(tmp_path_factory, shop):
    folder = tmp_path_factory.mktemp("prepared")
    main(["preprocess", "hm", "--raw", str(shop), "--workspace", str(folder)])
    return folder


@pytest.fixture
def prepared(tssr, made, tmp_path):
    shutil.copytree(made, tmp_path / "workspace")
    return tssr


@pytest.fixture
def queries(made):
    return load_dataset(describe_dataset(WorkspaceFolders(made).dataset("hm"))).split().test


@pytest.fixture
def scores():
    """All users' scores of all items, many of them equal."""
    return np.random.default_rng(4).integers(0, 9, (USERS, ITEMS)).astype(np.float32)


@pytest.fixture
def rows(made, scores):
    """The scores as rows: user, item, score."""
    folder = WorkspaceFolders(made).dataset("hm")
    users = pl.read_parquet(folder / "users.parquet")["user_id"].to_list()
    items = pl.read_parquet(folder / "items.parquet")["item_id"].to_list()
    pairs = [
        (user, item, float(scores[u, i])) for u, user in enumerate(users) for i, item in enumerate(items)
    ]
    return pl.DataFrame(pairs, schema=["user", "item", "score"], orient="row")


def measured(tssr, *arguments):
    outcome = tssr("evaluate", "--topk", "3", "5", *arguments, "--json")
    assert outcome.code == 0, outcome.err
    return outcome.json


def test_every_format_gives_the_metrics_by_the_definition(
    prepared, rows, scores, queries, brute_force, tmp_path
):
    rows.write_csv("theirs.csv")
    rows.write_parquet("theirs.parquet")
    rows.rename({"user": "user_id", "item": "item_id"}).write_ndjson("theirs.jsonl")
    np.save("theirs.npy", scores)
    found = [measured(prepared, "--lists", f"theirs.{end}") for end in ("csv", "parquet", "jsonl", "npy")]
    for one in found:
        assert one["measurements"] == found[0]["measurements"]
        assert one["slices"] == found[0]["slices"]
    assert measured(prepared, "--lists", "theirs.csv")["cached"]
    for measurement in found[0]["measurements"]:
        protocol = measurement["protocol"]
        assert protocol["listed"] is None, "all items have a score"
        window = protocol["window"] or 0
        ranks = brute_force(scores[queries.users], queries, protocol["mask"], window, 100)
        assert measurement["metrics"]["recall@5"] == pytest.approx(np.mean(ranks < 6)), protocol["mask"]
        assert measurement["metrics"]["mrr@3"] == pytest.approx(np.mean(np.where(ranks < 4, 1 / ranks, 0)))
    ranks = pl.read_parquet(next(tmp_path.glob("workspace/lists/*/ranks-test.parquet")))
    assert len(ranks) == USERS


def test_truncated_lists_say_so_and_miss_what_is_not_in_them(prepared, rows):
    exact = rows.sort("user", "score", "item", descending=[False, True, False])
    ranked = exact.with_columns(rank=pl.int_range(1, pl.len() + 1).over("user"))
    ranked.filter(pl.col("rank") <= 7).drop("score").write_csv("top.csv")
    ranked.drop("score").write_csv("all.csv")
    top, whole = measured(prepared, "--lists", "top.csv"), measured(prepared, "--lists", "all.csv")
    assert top["measurements"][0]["protocol"]["listed"] == 7
    assert top["measurements"][0]["metrics"] == whole["measurements"][0]["metrics"], "5 of 7 are there"
    assert top["measurements"][2]["metrics"]["recall@5"] <= whole["measurements"][2]["metrics"]["recall@5"]
    said = prepared("evaluate", "--lists", "top.csv", "--by", "popularity").out
    assert "of 20 items the lists given, truncated at 7" in said
    assert "60 users have fewer than 20 items in their list" in said
    assert "By how often the target was taken in training:" in said


def test_users_without_a_list_are_misses(prepared, rows):
    first = rows["user"][0]
    rows.filter(pl.col("user") != first).write_csv("fewer.csv")
    rows.write_csv("all.csv")
    fewer, whole = measured(prepared, "--lists", "fewer.csv"), measured(prepared, "--lists", "all.csv")
    assert fewer["notes"] == ["1 of 60 users have no list and count as misses"]
    assert fewer["measurements"][0]["protocol"]["queries"] == 60
    assert fewer["measurements"][0]["metrics"]["recall@5"] <= whole["measurements"][0]["metrics"]["recall@5"]


def at(row, value, column):
    """The column with another value in one row, counted from 0."""
    return pl.when(pl.int_range(pl.len()) == row).then(value).otherwise(column).alias(column)


FAULTS = {
    "unknown items": (
        lambda rows: rows.with_columns(item=pl.lit("nothing")),
        "1 item that hm does not have (nothing)",
    ),
    "unknown users": (
        lambda rows: rows.with_columns(user=pl.lit("nobody")),
        "1 user that hm does not have (nobody)",
    ),
    "a rank twice": (
        lambda rows: rows.drop("score").with_columns(rank=pl.lit(2)),
        "a user has rank 2 twice, for the first time in row 1",
    ),
    "an item twice": (
        lambda rows: pl.concat([rows, rows[5:6]]),
        "a user has an item twice, for the first time in row 6",
    ),
    "NaN": (
        lambda rows: rows.with_columns(at(3, float("nan"), "score")),
        "row 4, score is NaN, which is no finite number",
    ),
    "words": (
        lambda rows: rows.with_columns(score=pl.lit("high")),
        "row 1, score is high, which is no finite",
    ),
    "no score": (
        lambda rows: rows.drop("score"),
        "has neither a column rank nor score; it has user, item",
    ),
    "no item": (lambda rows: rows.drop("item"), "has no column item; it has user, score"),
    "an id is missing": (lambda rows: rows.with_columns(at(8, None, "item")), "row 9 has no item"),
    "empty": (lambda rows: rows[:0], "holds no row"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_cannot_be_measured_is_told_in_one_line(prepared, rows, fault):
    spoil, words = FAULTS[fault]
    spoil(rows).write_csv("theirs.csv")
    refused = prepared("evaluate", "--lists", "theirs.csv")
    assert refused.code == 1
    assert refused.err.startswith("error: --lists theirs.csv")
    assert words in refused.err
    assert refused.err.count("\n") == 1


def test_scores_of_minus_infinity_mean_what_a_shorter_list_means(prepared, rows, scores):
    """A matrix in which every user's unlisted items have -inf, and lists without these items."""
    left_out = np.random.default_rng(5).random(scores.shape) < 0.6
    left_out[:, :5] = False  # lists of one length, so that nobody's is shorter than the top 5
    np.save("theirs.npy", np.where(left_out, -np.inf, scores))
    rows.filter(pl.Series(~left_out.ravel())).write_csv("theirs.csv")
    by_scores, by_lists = (measured(prepared, "--lists", f"theirs.{end}") for end in ("npy", "csv"))
    for one, other in zip(by_scores["measurements"], by_lists["measurements"], strict=True):
        assert one["metrics"] == other["metrics"]


def test_files_of_another_kind(prepared, scores, tmp_path):
    for name, words in (
        ("absent.csv", "there is no such file"),
        ("theirs.txt", "the name must end in .parquet, .csv, .jsonl, .ndjson, .npy"),
        ("broken.parquet", "cannot be read"),
        ("broken.npy", "is no .npy file of numbers"),
        ("small.npy", "holds float32 of shape (60, 19); hm needs floats of shape (60, 20)"),
        ("nan.npy", "nan.npy: the score in row 7, column 2 is nan (counted from 0); give numbers, or -inf"),
        ("inf.npy", "inf.npy: the score in row 7, column 2 is inf (counted from 0); give numbers, or -inf"),
    ):
        if name != "absent.csv":
            (tmp_path / name).write_text("no table")
        spoilt = scores.copy()
        spoilt[7, 2] = float(name[:3]) if name in ("nan.npy", "inf.npy") else 0
        if name in ("small.npy", "nan.npy", "inf.npy"):
            np.save(name, scores[:, :19] if name == "small.npy" else spoilt)
        refused = prepared("evaluate", "--lists", name)
        assert refused.code in (1, 2), name
        assert words in refused.err, refused.err
    assert "give one" in prepared("evaluate", "--lists", "small.npy", "--run", "x").err
    assert "--dataset is for --lists" in prepared("evaluate", "--dataset", "hm").err


def test_a_list_takes_part_in_a_comparison(prepared, rows, commands, tmp_path):
    rows.write_csv("theirs.csv")
    compared = prepared(
        "compare", "--models", "poprec", "--lists", "theirs.csv", "--topk", "5", "--focus", "poprec",
        "--by", "history", "--name", "both", "--json",
    )  # fmt: skip
    assert compared.code == 0, compared.err
    record = json.loads((tmp_path / "workspace" / "comparisons" / "both.json").read_text())
    alone = measured(prepared, "--lists", "theirs.csv")["measurements"][0]["metrics"]
    assert record["models"]["theirs"]["metrics"]["recall@5"] == pytest.approx(alone["recall@5"])
    assert set(record["tests"]) == {"theirs"}
    assert set(record["slices"]) == {"poprec", "theirs"}
    refused = prepared("compare", "--models", "poprec", "--lists", "absent.csv")
    assert "--lists absent.csv: there is no such file" in refused.err
