"""Commands that are told to end: with all the processes they started, within seconds, in one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tssr.cli import main

SECONDS = 90  # of a machine that may be busy; alone it is one or two


def group_is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def ended_by(number: int, arguments: list[str], begun) -> tuple[int, str]:
    """Start a command in a group of its own, signal it alone once it has `begun`; its code and last words."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tssr", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not begun():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    started = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    while not group_is_gone(process.pid):
        assert time.monotonic() - started < SECONDS, "a process it started goes on"
        time.sleep(0.05)
    assert time.monotonic() - started < SECONDS
    return process.returncode, said


SIGNALS = pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])


@pytest.mark.slow
@SIGNALS
def test_processes_that_decode_pictures_end_with_the_command(shop, tmp_path, number, code):
    main(["preprocess", "hm", "--raw", str(shop), "--workspace", str(tmp_path)])
    slow_encoder = ["--encoder", "resnet50", "--weights", "random", "--workers", "2", "--batch-size", "1"]
    arguments = ["extract-features", "--modality", "image", *slow_encoder, "--workspace", str(tmp_path)]

    def begun():
        return any(Path(tmp_path / "features").rglob("content.parquet"))

    ended, said = ended_by(number, arguments, begun)
    assert (ended, said.splitlines()[-1]) == (
        code,
        "error: interrupted; finished work is kept, the same command resumes",
    )
    assert "Traceback" not in said


@pytest.mark.slow
@SIGNALS
def test_the_demo_ends_within_seconds(tmp_path, number, code):
    ended, said = ended_by(
        number, ["demo", "--workspace", str(tmp_path)], lambda: (tmp_path / "datasets" / "hm").exists()
    )
    assert (ended, "Traceback" in said) == (code, False)
    assert said.splitlines()[-1].startswith("error: interrupted; finished work is kept")
