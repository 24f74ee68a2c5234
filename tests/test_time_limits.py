"""Tests that hang: each has a limit, and what it started ends with it."""

import multiprocessing
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import tssr

ROOT = Path(tssr.__file__).parent

HANGS = """
import time

def test_hangs(program):
    process = program("-c", "import time; time.sleep(600)")
    print("waiting for process", process.pid, "of mine")
    time.sleep(600)

def test_the_next_one_is_run():
    pass
"""


def test_a_test_that_hangs_fails_with_the_program_that_it_started(program, tmp_path):
    (tmp_path / "test_hangs.py").write_text(HANGS)
    options = ("-p", "tssr.tests.processes", "-p", "no:cacheprovider", "-o", "timeout=10")
    command = ("-m", "pytest", "-c", ROOT / "pyproject.toml", *options, tmp_path / "test_hangs.py")
    said, _ = program(*command, stdout=subprocess.PIPE, text=True).communicate()
    assert "1 failed, 1 passed" in said
    assert "Timeout (>10.0s)" in said
    started = int(said.partition("waiting for process ")[2].split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(started, 0)


def test_forked_ranks_end_with_the_test_that_waits_for_them(on_ranks):
    class Over(BaseException):
        """What the limit raises, wherever the test is."""

    waiting = os.getpid()

    def over(*_):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        raise Over

    def hang():
        # Again and again: a signal just before the parent begins to wait does not end its wait.
        while True:
            time.sleep(0.2)
            os.kill(waiting, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, over)
    try:
        with pytest.raises(Over):
            on_ranks(1, hang)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert multiprocessing.active_children() == []


def test_each_has_a_limit(request):
    assert float(request.config.getini("timeout")) == 300
    assert request.node.get_closest_marker("timeout") is None


@pytest.mark.slow
def test_slow_ones_have_more(request):
    longest = request.node.get_closest_marker("timeout").args[0]
    assert 300 < longest < float(request.config.getini("faulthandler_timeout"))
