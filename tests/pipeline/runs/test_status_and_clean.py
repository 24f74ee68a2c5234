import json
import os
import shutil
import time

import pytest

from tssr.cli import main


@pytest.fixture(scope="module")
def made(tmp_path_factory, shop):
    folder = tmp_path_factory.mktemp("prepared")
    main(["preprocess", "hm", "--raw", str(shop), "--workspace", str(folder)])
    for run in ("one", "two"):
        main(["train", "--model", "poprec", "--run", run, "--workspace", str(folder)])
    return folder


@pytest.fixture
def workspace(made, tmp_path):
    return shutil.copytree(made, tmp_path / "workspace")


def states(tssr):
    shown = tssr("status", "--json")
    assert shown.code == 0, shown.err
    return {f"{entry['kind']} {entry['name']}": entry["state"] for entry in shown.json["entries"]}, shown.json


def outdate(workspace, run):
    """Make the run one of another version of the data set."""
    record = json.loads((workspace / "runs" / run / "run.json").read_text())
    record["dataset_fingerprint"] = "another"
    (workspace / "runs" / run / "run.json").write_text(json.dumps(record))


def test_an_empty_workspace_says_how_to_begin(tssr):
    found, record = states(tssr)
    assert found == {}
    assert record["next"].startswith("tssr preprocess hm")


def test_what_comes_before_the_first_run_depends_on_content(tssr, workspace, tmp_path):
    shutil.rmtree(workspace / "runs")
    assert states(tssr)[1]["next"] == "tssr extract-features --dataset hm --modality image text"
    (workspace / "features" / "hm" / "one").mkdir(parents=True)
    (workspace / "features" / "hm" / "one" / "manifest.json").write_text("{}")
    assert states(tssr)[1]["next"] == "tssr train --dataset hm"

    shutil.rmtree(workspace / "datasets")
    (tmp_path / "log.csv").write_text(
        "user_id;item_id\n" + "".join(f"u{n % 5};i{n % 4}\n" for n in range(60))
    )
    log = ("custom", "--interactions", tmp_path / "log.csv", "--map", "user=user_id,item=item_id")
    assert tssr("preprocess", *log).code == 0
    assert states(tssr)[1]["next"] == "tssr train --dataset custom --model rank-id"
    shutil.copytree(workspace / "datasets" / "custom", workspace / "datasets" / "a")
    os.utime(workspace / "datasets" / "a", (0, 0))
    assert states(tssr)[1]["next"] == "tssr train --dataset custom --model rank-id", "the newest data set"
    refused = tssr("train", "--dataset", "custom")
    assert "data set custom has neither texts nor pictures" in refused.err
    assert "--model rank-id" in refused.err

    (workspace / "datasets" / "custom" / "items.parquet").unlink()
    assert "items.parquet is missing; make data set custom again" in states(tssr)[1]["next"]


def test_status_tells_what_is_there_and_what_comes_next(tssr, workspace):
    found, record = states(tssr)
    assert found["data set hm"] == "fine: 60 users, 20 items"
    assert found["run one"] == "fine, not measured on test"
    assert record["next"] == "tssr evaluate --run two"
    for run in ("one", "two"):
        assert tssr("evaluate", "--run", run, "--topk", "5").code == 0
    found, record = states(tssr)
    assert found["run one"] == "fine"
    assert record["next"] == "tssr compare --dataset hm"
    shutil.copytree(workspace / "datasets" / "hm", workspace / "datasets" / "another")
    assert states(tssr)[1]["next"] == "tssr compare --dataset hm", "not that of the first data set"
    outdate(workspace, "two")
    assert "another version of data set hm" in states(tssr)[0]["run two"]
    shown = tssr("status").out
    assert "0.0" not in shown, "small files have a size too"
    assert "tssr clean removes what nothing refers to" in shown


def test_clean_removes_what_nothing_refers_to_and_only_when_told(tssr, workspace):
    for run in ("one", "two"):
        outdate(workspace, run)
    (workspace / "comparisons").mkdir()
    named = {"contenders": {"x": {"tried": [], "runs": [{"run": "one"}]}}}
    (workspace / "comparisons" / "mine.json").write_text(json.dumps(named))
    (workspace / "features" / "gone").mkdir(parents=True)
    old, young = workspace / "runs" / ".a.1.partial", workspace / "runs" / ".b.1.partial"
    for path in (old, young):
        path.write_text("half")
    os.utime(old, (time.time() - 7200,) * 2)
    refused = tssr("clean", "--json")
    assert refused.code == 2
    assert "add --yes" in refused.err
    assert tssr("clean").code == 1, "no answer is no"
    assert old.exists()
    removed = tssr("clean", "--yes", "--json")
    assert removed.json["removed"] == ["features gone", "run two", "leftover .a.1.partial"]
    assert (workspace / "runs" / "one").exists(), "a comparison names it"
    assert young.exists(), "its writer may be alive"
    assert not (workspace / "runs" / "two").exists()
    assert tssr("clean", "--yes", "--json").json["removed"] == []
    assert states(tssr)[0]["comparison mine"] == "fine"
    shutil.rmtree(workspace / "runs" / "one")
    assert states(tssr)[0]["comparison mine"] == "stale: its run one is gone"


@pytest.mark.parametrize(
    "damaged",
    [
        "{",
        "[]",
        '{"contenders": 1}',
        '{"contenders": {"x": {"runs": [{}]}}}',
        '{"contenders": ' + "[" * 100_000,
    ],
    ids=["cut off", "a list", "a number", "a run without a name", "nested too deeply"],
)
def test_a_damaged_comparison_is_told_and_no_run_is_removed_for_its_sake(tssr, workspace, damaged):
    outdate(workspace, "two")
    (workspace / "comparisons").mkdir()
    (workspace / "comparisons" / "mine.json").write_text(damaged)
    state = states(tssr)[0]["comparison mine"]
    assert state.startswith("stale: ")
    assert "mine.json" in state
    assert "tssr compare" in state
    assert tssr("clean", "--yes", "--json").json["removed"] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "my-model"}, "is of the model my-model, which is not registered here; set TSSR_MODELS to"),
        (
            {"settings": {"train": {}, "model": {"renamed": 1}}},
            "has settings that this version of tssr or of",
        ),
        ({"model_code": "another"}, "was trained by other code of the model poprec"),
        ({"settings": {}}, "run.json is damaged"),
        ({"dataset": "elsewhere"}, "--dataset elsewhere: "),
    ],
)
def test_a_run_that_only_cannot_be_read_here_is_never_unused(tssr, workspace, change, words):
    path = workspace / "runs" / "two" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    state = states(tssr)[0]["run two"]
    assert state.startswith("stale: ")
    assert words in state
    assert ("damaged" in state) == ("damaged" in words)
    assert tssr("clean", "--yes", "--json").json["removed"] == []
    assert path.exists()


def test_lists_studies_and_results_are_known_and_results_stay(tssr, workspace):
    lists = workspace.parent / "theirs.csv"
    lists.write_text(f"user,item,rank\n{0:064x},0100000000,1\n")
    assert tssr("evaluate", "--lists", lists, "--topk", "5").code == 0
    (workspace / "lists" / "killed").mkdir()
    for name in ("tuning/hm-poprec-1a.db", "tuning/hm-poprec-1a.toml", "reproduced/table1-hm.md"):
        (workspace / name).parent.mkdir(exist_ok=True)
        (workspace / name).write_text("0123456789")
    (workspace / "reproduced" / "table1-hm.csv").write_text("01234")
    found, record = states(tssr)
    (measured,) = (name for name in found if name.startswith("lists hm-theirs-"))
    assert found[measured] == "fine: Lists of theirs.csv"
    assert found["lists killed"] == "unfinished"
    assert {found[name] for name in ("study hm-poprec-1a", "tuned settings hm-poprec-1a")} == {"fine"}
    sizes = {entry["name"]: entry["bytes"] for entry in record["entries"]}
    assert sizes["table1-hm"] == 15, "of all its files"
    assert tssr("clean", "--yes", "--json").json["removed"] == []
    shutil.rmtree(workspace / "datasets" / "hm")
    for run in ("one", "two"):
        shutil.rmtree(workspace / "runs" / run)
    removed = tssr("clean", "--yes", "--json").json["removed"]
    assert removed == [measured, "study hm-poprec-1a"], "nothing can use them any more"
    assert (workspace / "tuning" / "hm-poprec-1a.toml").exists()
    assert (workspace / "reproduced" / "table1-hm.csv").exists()
