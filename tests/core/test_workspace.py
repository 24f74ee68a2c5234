import json

import pytest

from tssr.core.errors import ArtifactError, UsageError
from tssr.core.workspace import RUN_FILE, WorkspaceFolders


@pytest.fixture
def workspace(tmp_path):
    return WorkspaceFolders(tmp_path / "ws")


def add_dataset(workspace, name):
    folder = workspace.dataset(name)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    return folder


def add_run(workspace, name, finished_at):
    folder = workspace.run(name)
    folder.mkdir(parents=True)
    (folder / RUN_FILE).write_text(json.dumps({"finished_at": finished_at}))
    return folder


def test_an_empty_workspace_says_how_to_begin(workspace):
    with pytest.raises(UsageError, match=r"holds no data set; make one first, .*tssr preprocess hm"):
        workspace.choose_dataset(None)
    with pytest.raises(UsageError, match=r"holds no finished run; make one with: tssr train"):
        workspace.choose_run(None)
    assert not workspace.root.exists()


def test_the_only_dataset_need_not_be_named(workspace):
    folder = add_dataset(workspace, "hm")
    (workspace.root / "datasets" / "half-written").mkdir()
    assert workspace.choose_dataset(None) == folder
    assert workspace.choose_dataset("hm") == folder


def test_several_datasets_are_listed(workspace):
    for name in ("toy", "hm"):
        add_dataset(workspace, name)
    with pytest.raises(UsageError, match=r"several data sets; choose one with --dataset: hm, toy"):
        workspace.choose_dataset(None)
    with pytest.raises(UsageError, match=r"--dataset mind: .* has hm, toy"):
        workspace.choose_dataset("mind")


def test_the_newest_finished_run_is_taken(workspace):
    add_run(workspace, "zebra", "2026-01-01T00:00:00")
    newest = add_run(workspace, "apple", "2026-01-02T00:00:00")
    add_run(workspace, "unfinished", None)
    assert workspace.run_names() == ["zebra", "apple"]
    assert workspace.choose_run(None) == newest
    assert workspace.choose_run("zebra") == workspace.run("zebra")
    with pytest.raises(UsageError, match=r"--run unfinished did not finish; the same train command resumes"):
        workspace.choose_run("unfinished")
    with pytest.raises(UsageError, match=r"--run gone: no such run; .* has apple, zebra$"):
        workspace.choose_run("gone")


def test_of_many_runs_the_newest_are_named(workspace):
    for day in range(1, 10):
        add_run(workspace, f"run-{day}", f"2026-01-0{day}T00:00:00")
    with pytest.raises(UsageError, match=r"has run-9, run-8, run-7, run-6, run-5 and 4 more$"):
        workspace.choose_run("gone")


def test_unfinished_runs_alone_are_told(workspace):
    add_run(workspace, "half", None)
    with pytest.raises(UsageError, match=r"no finished run \(half did not finish; the same train command"):
        workspace.choose_run(None)


def test_a_damaged_run_record_is_named(workspace):
    (add_run(workspace, "bad", None) / RUN_FILE).write_text("{")
    with pytest.raises(ArtifactError, match=r"bad/run\.json is damaged .*delete .*bad and train again"):
        workspace.run_names()


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "-x", "a b", "a\n", "ü"])
def test_names_cannot_leave_the_workspace(workspace, name):
    for method, option in ((workspace.dataset, "--dataset"), (workspace.run, "--run")):
        with pytest.raises(UsageError, match=rf"{option} .*use letters, digits"):
            method(name)


@pytest.mark.parametrize("name", ["hm", "ml-1m", "H.M_2", "0"])
def test_plain_names_pass(workspace, name):
    assert workspace.dataset(name).parent == workspace.root / "datasets"


def test_a_run_that_is_named_does_not_depend_on_the_state_of_others(workspace):
    whole = add_run(workspace, "whole", "2026-01-01T00:00:00")
    (add_run(workspace, "bad", None) / RUN_FILE).write_text("{")
    assert workspace.choose_run("whole") == whole
    with pytest.raises(ArtifactError, match=r"bad/run\.json is damaged"):
        workspace.choose_run(None)


def test_a_record_that_cannot_be_read_is_one_line(workspace):
    folder = add_run(workspace, "odd", None)
    (folder / RUN_FILE).unlink()
    (folder / RUN_FILE).mkdir()
    with pytest.raises(ArtifactError, match=r"could not read .*odd/run\.json: Is a directory; delete"):
        workspace.choose_run("odd")
