"""Processes of their own: what they say is told, and none outlives the pool."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tssr.core.errors import TssrError
from tssr.core.signals import stoppable
from tssr.core.workspace import WorkspaceFolders
from tssr.pipeline.compare import training_pool
from tssr.pipeline.compare.training_pool import TrainingPool

CHILD = """
import json, os, pathlib, signal, sys, time

folder, what = pathlib.Path(sys.argv[1]), sys.argv[2]
folder.mkdir(exist_ok=True)
(folder / "pid").write_text(str(os.getpid()))

def say(line):
    print(line, file=sys.stderr, flush=True)

def end(number, frame):
    say("error: tidied up")
    sys.exit(143)

if what == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
elif what != "killed":
    signal.signal(signal.SIGTERM, end)
say(f"training: validation NDCG@10 0.5 of {what}")
if what == "fails":
    while not (folder.parent / "long" / "ready").exists():
        time.sleep(0.01)
    say("error: out of luck")
    sys.exit(1)
if what == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if what in ("long", "deaf"):
    (folder / "ready").touch()
    time.sleep(120)
(folder / "record").write_text(json.dumps(what))
sys.exit(1 if what == "diverges" else 0)
"""


class Plan:
    """As much of a plan as the pool looks at; `name` says what its child does."""

    def __init__(self, name, folder):
        self.name, self._folder = name, folder

    def folder(self, _workspace, _name):
        return self._folder


@pytest.fixture
def pool(tmp_path, monkeypatch):
    (tmp_path / "child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def recorded(folder, plan):
        if not (folder / "record").exists():
            return None
        if plan.name == "diverges":
            return {"finished_at": None, "diverged": "the loss is not finite"}
        return {"finished_at": "now", "result": {"validation_ndcg@10": 0.5}}

    monkeypatch.setattr(training_pool, "recorded_run", recorded)
    monkeypatch.setattr(
        training_pool, "train_command", lambda _, plan: ["child", str(plan.folder(None, None)), plan.name]
    )
    return TrainingPool(WorkspaceFolders(tmp_path), 2, 2)


def run(name, tmp_path, folder=None):
    return name, Plan(name, tmp_path / (folder or name))


def ended(folder: Path) -> bool:
    try:
        os.kill(int((folder / "pid").read_text()), 0)
    except ProcessLookupError:
        return True
    return False


def test_what_a_child_says_is_told_under_its_label(pool, tmp_path, capfd):
    (trained,) = pool.train([run("works", tmp_path)])
    said = capfd.readouterr().err
    assert "works: training: validation NDCG@10 0.5 of works\n" in said
    assert "[1/2] works: validation NDCG@10 0.5000 (0 s)\n" in said
    assert (trained.diverged, trained.cached) == (None, False)
    assert pool.train([run("works", tmp_path)])[0].cached


def test_one_that_fails_ends_the_others_at_once_though_ctrl_c_is_ignored(pool, tmp_path):
    """As after `nohup tssr compare &` in a script, whose children inherit that SIGINT is ignored."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    started = time.monotonic()
    try:
        with pytest.raises(TssrError, match=r"^fails: out of luck; tried: child "):
            pool.train([run("long", tmp_path), run("fails", tmp_path)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - started < 30
    assert ended(tmp_path / "long")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_pool_and_all_children(pool, tmp_path, number, monkeypatch, request):
    monkeypatch.setattr(training_pool, "SECONDS_TO_END", 0.5)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    runs = [run("long", tmp_path), run("deaf", tmp_path)]

    def send():
        while not all((tmp_path / name / "ready").exists() for name, _ in runs):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), stoppable():
        pool.train(runs)
    assert time.monotonic() - started < 30
    assert all(ended(tmp_path / name) for name, _ in runs)


def test_what_kills_a_child_is_told_with_its_last_words(pool, tmp_path):
    with pytest.raises(TssrError, match=r"killed: killed by SIGKILL after it said: training: .* of killed"):
        pool.train([run("killed", tmp_path)])


def test_one_that_diverges_is_a_result_and_the_others_go_on(pool, tmp_path, capfd):
    diverged, works = pool.train([run("diverges", tmp_path), run("works", tmp_path)])
    assert (diverged.diverged, diverged.result) == ("the loss is not finite", {})
    assert works.result == {"validation_ndcg@10": 0.5}
    assert "diverges: diverged: the loss is not finite" in capfd.readouterr().err
    assert pool.train([run("diverges", tmp_path)])[0].cached


def test_two_names_of_one_run_are_trained_once(pool, tmp_path, capfd):
    one, other = pool.train(
        [("mv-trm", run("works", tmp_path)[1]), ("sasrec-hybrid", run("works", tmp_path)[1])]
    )
    assert one is other
    assert "[2/2] mv-trm, sasrec-hybrid: validation" in capfd.readouterr().err
