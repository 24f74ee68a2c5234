"""Ctrl-C ends a wait also where the system restarts interrupted calls, as it does once Polars has run."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from contextlib import contextmanager

import pytest
import torch

from tssr.core.lock import LOCK_FILE, exclusive
from tssr.core.randomness import own_randomness
from tssr.pipeline.compare.training_pool import TrainingPool
from tssr.pipeline.download import stage
from tssr.pipeline.download.fetch import FetchError
from tssr.pipeline.download.settings import DownloadSettings


@pytest.fixture
def ctrl_c():
    """`with ctrl_c():` gets SIGINT after half a second, under a handler after which calls are restarted."""
    assert threading.current_thread() is threading.main_thread()
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    began = []

    @contextmanager
    def press():
        began.append(time.monotonic())
        timer.start()
        yield

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.siginterrupt(signal.SIGINT, False)
    try:
        yield press
        assert time.monotonic() - began[0] < 7.5, "only the end of the wait ended it, after 8 seconds"
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)


def test_while_another_process_writes_the_folder(ctrl_c, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with (folder / LOCK_FILE).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        release = threading.Timer(8, fcntl.flock, (file, fcntl.LOCK_UN))
        release.start()
        with pytest.raises(KeyboardInterrupt), ctrl_c(), exclusive(folder):
            pass
        release.cancel()


def test_while_runs_are_trained_in_other_processes(ctrl_c, monkeypatch):
    stopped = threading.Event()

    class Plan:
        @staticmethod
        def folder(workspace, name):
            return "run"

    monkeypatch.setattr(TrainingPool, "_train_one", lambda *_: stopped.wait(8))
    monkeypatch.setattr(TrainingPool, "_stop", lambda _: stopped.set())
    with pytest.raises(KeyboardInterrupt), ctrl_c():
        TrainingPool(None, 1, 1).train([("one", Plan)])
    assert stopped.is_set()


def test_while_another_thread_trains(ctrl_c):
    held, over = threading.Event(), threading.Event()

    def hold():
        with own_randomness(torch.device("cpu")):
            held.set()
            over.wait(8)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with pytest.raises(KeyboardInterrupt), ctrl_c(), own_randomness(torch.device("cpu")):
        pass
    over.set()
    thread.join()


def test_while_a_server_asks_for_a_minute(ctrl_c, tmp_path, monkeypatch):
    def busy(address, limits):
        raise FetchError("HTTP 429", passing=True, wait=60)

    monkeypatch.setattr(stage, "_wanted", lambda *_: ({"A1": ["http://one", "http://two"]}, 0))
    monkeypatch.setattr(stage, "fetch", busy)
    with pytest.raises(KeyboardInterrupt), ctrl_c():
        stage.download_images("toy", DownloadSettings(), tmp_path)
    assert not list(tmp_path.iterdir())
