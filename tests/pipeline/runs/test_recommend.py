"""`tssr recommend` on a shop that gained articles nobody has bought before the last day."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from tssr.cli import main

ITEMS, LATE = 12, 2  # the last LATE items are only ever a test target
SMALL = ("--width", "8", "--heads", "2", "--max-epochs", "2", "--batch-size", "8")
RUNS = {
    "pop": ("--model", "poprec"),
    "knn": ("--model", "itemknn"),
    "bpr": ("--model", "bpr-mf", "--width", "8", "--max-epochs", "2"),
    "ids": ("--model", "sasrec-id", *SMALL),
    "looks": ("--model", "sasrec-content", "--head", "content", *SMALL),
    "rank": ("--model", "tssr-rank", "--cold-share", "0.2", "--width", "8", "--max-epochs", "2"),
    "late": ("--model", "tssr-late", *SMALL),
}
BY_CONTENT = ["looks", "rank", "late"]  # they rank what nobody took


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, bert):
    """A log of 20 users, texts for all items, and one run of each kind of model."""
    folder = tmp_path_factory.mktemp("late")
    draw = np.random.default_rng(3)
    lines = ["user_id,item_id,time"]
    for user in range(20):
        taken = [int(draw.integers(ITEMS - LATE)) for _ in range(5)]
        taken += [ITEMS - LATE + user % LATE] if user < 8 else []
        lines += [f"u{user},i{item},{time}" for time, item in enumerate(taken)]
    (folder / "log.csv").write_text("\n".join(lines))
    names = [
        f"i{item},{'red' if item % 2 else 'blue'} [shirt] {'abcdefghijkl'[item]}" for item in range(ITEMS)
    ]
    (folder / "items.csv").write_text("\n".join(["item_id,text", *names]))
    mapping = "user=user_id,item=item_id,time=time,text=text"
    files = ("--interactions", folder / "log.csv", "--items", folder / "items.csv", "--map", mapping)
    for arguments in (
        ("preprocess", "custom", "--dataset", "late", "--min-actions", "0", *files),
        ("extract-features", "--modality", "text", "--encoder", bert),
        *(("train", "--run", name, *options) for name, options in RUNS.items()),
    ):
        main([str(part) for part in (*arguments, "--workspace", folder)])
    return folder


@pytest.fixture
def ask(tssr, workspace):
    """Run `tssr recommend --json` with a run and more options."""
    return lambda run, *options: tssr("recommend", "--workspace", workspace, "--run", run, "--json", *options)


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "new.txt"
    path.write_text("i1 i2 i3\ni4\n")
    return path


def items_of(outcome):
    assert outcome.code == 0, outcome.err
    return {user["user_id"]: [row["item_id"] for row in user["items"]] for user in outcome.json["users"]}


@pytest.mark.parametrize("run", RUNS)
def test_every_kind_of_model_ranks_someone_it_never_saw(ask, history, run):
    lists = items_of(ask(run, "--history", history, "--topk", "10", "--mask", "hard"))
    assert list(lists) == ["line 1", "line 2"]
    everything = {f"i{number}" for number in range(ITEMS - LATE)}
    assert set(lists["line 1"]) == everything - {"i1", "i2", "i3"}
    assert set(lists["line 2"]) == everything - {"i4"}


def test_scores_descend_and_texts_come_along(ask, history):
    (first, _) = ask("looks", "--history", history).json["users"]
    scores = [row["score"] for row in first["items"]]
    assert scores == sorted(scores, reverse=True)
    assert [row["rank"] for row in first["items"]] == list(range(1, 11))
    assert "shirt" in first["items"][0]["text"]


def test_popularity_is_the_train_count(ask, workspace, history):
    log = pl.read_csv(workspace / "log.csv").filter(pl.col("time") < pl.col("time").max().over("user_id") - 1)
    counts = dict(log.group_by("item_id").len().iter_rows())
    (first, _) = ask("pop", "--history", history).json["users"]
    assert [row["score"] for row in first["items"]] == sorted(counts.values(), reverse=True)
    assert all(row["score"] == counts[row["item_id"]] for row in first["items"])


def test_every_way_to_give_a_history_gives_the_same_lists(ask, history, tmp_path, monkeypatch):
    expected = list(items_of(ask("ids", "--history", history)).values())
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(history.read_bytes())))
    assert list(items_of(ask("ids", "--history", "-")).values()) == expected
    # Rows in another order than time, and the users in the order of their first row.
    table = pl.DataFrame(
        {"who": ["x", "y", "x", "x"], "what": ["i3", "i4", "i1", "i2"], "when": [9, 1, 2, 2]}
    )
    table.write_csv(tmp_path / "h.csv")
    table.write_parquet(tmp_path / "h.parquet")
    table.write_ndjson(tmp_path / "h.jsonl")
    for kind in ("csv", "parquet", "jsonl"):
        mapped = ("--history", tmp_path / f"h.{kind}", "--map", "user=who,item=what,time=when")
        assert items_of(ask("ids", *mapped)) == {"x": expected[0], "y": expected[1]}
    table.rename({"who": "user_id", "what": "item_id"}).sort("when").write_csv(tmp_path / "plain.csv")
    assert items_of(ask("ids", "--history", tmp_path / "plain.csv"))["x"] == expected[0]


@pytest.mark.parametrize("run", ["ids", "pop", "knn"])
def test_a_user_of_the_data_set_is_ranked_by_all_actions(ask, workspace, tmp_path, run):
    log = pl.read_csv(workspace / "log.csv").filter(pl.col("user_id") == "u3")
    (tmp_path / "same.txt").write_text(" ".join(log["item_id"]))
    known = items_of(ask(run, "--user", "u3", "u11"))
    assert list(known) == ["u3", "u11"]
    assert known["u3"] == items_of(ask(run, "--history", tmp_path / "same.txt"))["line 1"]


def test_without_anyone_named_all_users_of_the_data_set_get_lists(ask, workspace):
    everyone = items_of(ask("ids"))
    assert set(everyone) == set(pl.read_csv(workspace / "log.csv")["user_id"])
    assert everyone["u3"] == items_of(ask("ids", "--user", "u3"))["u3"]


@pytest.mark.parametrize("run", BY_CONTENT)
def test_items_without_a_train_action_are_listed_on_request_alone(ask, history, run):
    left_out = ask(run, "--history", history, "--topk", "12").json
    newest = {"i3"} if run == "late" else set()  # which tssr-late never offers again
    listed = {row["item_id"] for row in left_out["users"][0]["items"]}
    assert listed == {f"i{n}" for n in range(10)} - newest
    assert left_out["notes"] == ["2 items without a train action are left out (--cold-items ranks them)"]
    all_listed = items_of(ask(run, "--history", history, "--topk", "12", "--cold-items"))["line 1"]
    assert set(all_listed) == {f"i{n}" for n in range(12)} - newest
    refused = ask("ids", "--history", history, "--cold-items")
    assert refused.code == 2
    assert "--head content or --head table+content" in refused.err


@pytest.mark.parametrize("run", ["looks", "rank"])
def test_an_article_nobody_ever_bought_can_be_recommended(tssr, workspace, bert, tmp_path, run):
    items = (workspace / "items.csv").read_text() + "\nnew,red [shirt] z"
    (tmp_path / "items.csv").write_text(items)
    mapping = "user=user_id,item=item_id,time=time,text=text"
    files = ("--interactions", workspace / "log.csv", "--items", tmp_path / "items.csv", "--map", mapping)
    of = ("--workspace", tmp_path)
    for command in (
        ("preprocess", "custom", "--dataset", "late", "--min-actions", "0", "--whole-catalogue", *files),
        ("extract-features", "--modality", "text", "--encoder", bert),
        ("train", *RUNS[run]),
        ("evaluate", "--cold-items", "--topk", "3"),
    ):
        assert tssr(*command, *of).code == 0
    (tmp_path / "new.txt").write_text("i1 i2 new\n")
    ask = ("recommend", *of, "--history", tmp_path / "new.txt", "--topk", "13", "--json")
    assert "new" not in items_of(tssr(*ask))["line 1"]
    assert "new" in items_of(tssr(*ask, "--cold-items"))["line 1"]


@pytest.mark.parametrize("run", BY_CONTENT)
def test_evaluate_reports_warm_and_cold_targets_apart(tssr, workspace, run):
    of = ("evaluate", "--workspace", workspace, "--topk", "3", "--mask", "none", "hard")
    measured = tssr(*of, "--run", run, "--cold-items", "--json").json
    assert measured["cold"] == {"items": LATE, "targets": 8, "rankable": True}
    asked = {m["protocol"]["targets"]: m["protocol"]["queries"] for m in measured["by_target"]}
    assert asked == {"warm": 12, "cold": 8}
    for mask in ("none", "hard"):
        parts = [m for m in measured["by_target"] if m["protocol"]["mask"] == mask]
        (whole,) = [m for m in measured["measurements"] if m["protocol"]["mask"] == mask]
        total = sum(m["metrics"]["recall@3"] * m["protocol"]["queries"] for m in parts)
        assert whole["metrics"]["recall@3"] == pytest.approx(total / 20)
        assert whole["protocol"]["cold_items"] == "from content"
    shown = tssr(*of, "--run", run, "--cold-items").out
    assert [line.split()[:2] for line in shown.splitlines()[2:8]] == [
        [targets, users]
        for targets, users in (("all", "20"), ("warm", "12"), ("cold", "8"))
        for _ in range(2)
    ]
    assert "2 items, the targets of 8 users, have no train action and are scored from content alone" in shown
    plain = tssr(*of, "--run", "ids")
    assert (
        "have no train action and are scored as the model scores items that it has not learned about"
        in plain.out
    )
    assert "warm" not in plain.out
    for blind in ("ids", "pop", "knn", "bpr"):
        refused = tssr(*of, "--run", blind, "--cold-items")
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert "knows an item by its actions alone" in refused.err
        assert "--head content or --head table+content" in refused.err


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_lists_can_go_to_a_file(ask, history, tmp_path, kind):
    expected = items_of(ask("ids", "--history", history))
    path = tmp_path / f"lists.{kind}"
    summary = ask("ids", "--history", history, "--output", path).json
    assert (summary["output"], summary["rows"]) == (str(path), 20)
    read = {"csv": pl.read_csv, "parquet": pl.read_parquet, "jsonl": pl.read_ndjson}[kind](path)
    assert read.columns == ["user_id", "rank", "item_id", "score"]
    assert {user: rows["item_id"].to_list() for (user,), rows in read.group_by("user_id")} == expected


def test_the_table_shows_ten_users_and_texts_as_they_are(tssr, workspace, tmp_path):
    (tmp_path / "many.txt").write_text("i1\n" * 12)
    shown = tssr("recommend", "--workspace", workspace, "--history", tmp_path / "many.txt", "--topk", "1").out
    assert shown.count("[shirt]") == 10
    assert "… and 2 more users (--json or --output FILE gives all)" in shown


def test_what_the_data_set_does_not_know_is_counted_and_named(ask, tmp_path):
    path = tmp_path / "odd.txt"
    path.write_text("i1 new1 new2 new1\n\nnew3 new4\n")
    outcome = ask("ids", "--history", path)
    assert list(items_of(outcome)) == ["line 1"]
    assert outcome.json["notes"][:2] == [
        "5 of 6 actions are on items that late does not have (new1, new2, new3 and 1 more)",
        "2 of 3 users have no known item and get no list (line 2, line 3)",
    ]
    strict = ask("ids", "--history", path, "--strict")
    assert strict.code == 1
    assert "5 of 6 actions are on items that late does not have" in strict.err
    assert "leave out --strict" in strict.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"new1 new2\nnew3\n",
            "leaves nobody to recommend to: 3 of 3 actions are on items that late does not",
        ),
        (b"\n \n", "leaves nobody to recommend to: every line is empty"),
        (b"", "holds no history"),
        (b"i1 \xff\n", "is not UTF-8 text"),
    ],
)
def test_a_history_of_which_nothing_is_left(ask, tmp_path, content, words):
    (tmp_path / "h.txt").write_bytes(content)
    failed = ask("ids", "--history", tmp_path / "h.txt")
    assert (failed.code, failed.err.count("\n")) == (1, 1)
    assert words in failed.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--user", "u1", "--history", "new.txt"), "give --history FILE or --user ID, not both"),
        (("--history", "gone.csv"), "--history gone.csv: there is no such file"),
        (("--user", "nobody"), "--user nobody: late has no such user; its first is u0"),
        (("--user", "u1", "--topk", "13"), "--topk 13: late has only 12 items"),
        (("--user", "u1", "--output", "lists.xlsx"), "--output lists.xlsx: the name must end in .csv"),
        (("--history", "new.txt", "--map", "user=a,item=b"), "--map is for tables of actions"),
        (("--history", "h.csv", "--map", "user=a,item=b,text=c"), "--map text=c: a history has user, item"),
        (("--user", "u1", "--run", "gone"), "--run gone: no such run"),
        (("--user", "u1", "--device", "abacus"), "--device abacus: use auto"),
    ],
)
@pytest.mark.usefixtures("history")
def test_what_an_option_gets_wrong(ask, tmp_path, options, words):
    (tmp_path / "h.csv").write_text("a,b,c\nu,i1,x\n")
    failed = ask("ids", *options)
    assert (failed.code, failed.err.count("\n")) == (2, 1)
    assert words in failed.err


def test_a_table_without_the_columns_and_a_workspace_without_runs(ask, tssr, tmp_path):
    (tmp_path / "h.csv").write_text(json.dumps({}) + "\n")
    assert "has no column" in ask("ids", "--history", tmp_path / "h.csv").err
    assert "make one with: tssr train" in tssr("recommend", "--user", "x").err


def test_a_history_that_holds_a_header_alone(ask, tmp_path):
    (tmp_path / "h.csv").write_text("user,item,time\n")
    refused = ask("ids", "--history", tmp_path / "h.csv", "--map", "user=user,item=item,time=time")
    assert refused.code == 1
    assert "h.csv holds no history" in refused.err


@pytest.fixture
def numbered(tssr, tmp_path):
    """A log with whole numbers as ids and a popularity run; how to ask it for two items nobody had."""
    rows = [f"{user},{item}" for user in (1, 2) for item in (101, 102, 103, 104, 105, 106)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id", *rows]) + "\n")
    mapping = ("--map", "user=user_id,item=item_id", "--min-actions", 0)
    assert tssr("preprocess", "custom", "--interactions", "log.csv", *mapping).code == 0
    assert tssr("train", "--model", "poprec").code == 0
    return lambda path, *options: tssr(
        "recommend", "--history", path, "--mask", "hard", "--topk", 2, "--json", *options
    )


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_histories_of_floats(numbered, tmp_path, kind):
    asked = pl.DataFrame({"user_id": ["x", "x", "x"], "item_id": [101.0, 102.0, float("nan")]})
    path = tmp_path / f"new.{kind}"
    {"csv": asked.write_csv, "jsonl": asked.write_ndjson, "parquet": asked.write_parquet}[kind](path)
    lost = numbered(path)
    assert (lost.code, lost.err.count("\n")) == (1, 1)
    assert f"1 of 3 rows (33.3 %) of new.{kind} would be dropped for one reason" in lost.err
    assert items_of(numbered(path, "--allow-loss")) == {"x": ["103", "104"]}


def test_a_line_of_floats(numbered, tmp_path):
    (tmp_path / "new.txt").write_text("101.0 102.0\n")
    assert items_of(numbered(tmp_path / "new.txt")) == {"line 1": ["103", "104"]}


@pytest.mark.parametrize(("kind", "text"), [("csv", "user_id,item_id\nZoë,101\n"), ("txt", "101 ë\n")])
def test_a_history_in_another_encoding(numbered, tmp_path, kind, text):
    path = tmp_path / f"new.{kind}"
    path.write_bytes(text.encode("latin-1"))
    refused = numbered(path)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "--encoding latin-1" in refused.err
    found = items_of(numbered(path, "--encoding", "latin-1"))
    assert found == {"Zoë" if kind == "csv" else "line 1": ["102", "103"]}


def test_ids_may_hold_commas_and_a_user_named_twice_gets_one_list(tssr, tmp_path):
    rows = [f'"{user}",i{item}' for user in ("a,b", "c") for item in range(4)]
    (tmp_path / "log.csv").write_text("\n".join(["user,item", *rows]) + "\n")
    tssr(
        "preprocess",
        "custom",
        "--interactions",
        "log.csv",
        "--map",
        "user=user,item=item",
        "--min-actions",
        0,
    )
    tssr("train", "--model", "poprec")
    lists = items_of(tssr("recommend", "--user", "a,b", "c", "c", "--topk", "2", "--json"))
    assert lists == {"a,b": ["i0", "i1"], "c": ["i0", "i1"]}


def test_seen_items_in_the_lists_are_told_unless_they_are_masked(tssr, tmp_path):
    rows = [f"u{user},i{(user + step) % 7},{step}" for user in range(7) for step in range(4)]
    (tmp_path / "log.csv").write_text("\n".join(["user,item,time", *rows]))
    mapping = ("--map", "user=user,item=item,time=time", "--min-actions", "0")
    tssr("preprocess", "custom", "--dataset", "once", "--interactions", "log.csv", *mapping)
    tssr("train", "--model", "poprec")
    words = (
        "1 of 1 lists hold items that the user has already, though 0.0% of the actions in once are repeats"
    )
    assert words in tssr("recommend", "--user", "u1", "--topk", "7").out
    assert "that the user has already" not in tssr("recommend", "--user", "u1", "--mask", "hard").out


def test_cold_items_are_hinted_at_where_the_model_can_rank_them(ask, tssr, workspace, history):
    notes = {run: ask(run, "--history", history).json["notes"] for run in RUNS}
    hinted = [run for run in RUNS if any("(--cold-items ranks them)" in note for note in notes[run])]
    assert hinted == BY_CONTENT
    of = ("evaluate", "--workspace", workspace, "--topk", "3", "--run")
    shown = {run: tssr(*of, run).out for run in RUNS}
    assert [run for run in RUNS if "(--cold-items scores them" in shown[run]] == BY_CONTENT
