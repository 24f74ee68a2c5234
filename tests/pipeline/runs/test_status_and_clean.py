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
    outdate(workspace, "two")
    assert "another version of data set hm" in states(tssr)[0]["run two"]
    shown = tssr("status").out
    assert "MiB" in shown
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
