"""Commands that are told to end: with all the processes they started, within seconds, in one line."""

from __future__ import annotations

import os
import signal
import subprocess
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


@pytest.fixture
def ended_by(program):
    """`ended_by(SIGTERM, arguments, begun)`: signal a command that has `begun`; its code and last words."""

    def run(number, arguments, begun) -> tuple[int, str]:
        process = program(
            "-m", "tssr", *arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        while not begun():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        started = time.monotonic()
        process.send_signal(number)  # to the command alone, not to its group
        _, said = process.communicate()
        while not group_is_gone(process.pid):
            assert time.monotonic() - started < SECONDS, "a process it started goes on"
            time.sleep(0.05)
        assert time.monotonic() - started < SECONDS
        return process.returncode, said

    return run


SIGNALS = pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])


@pytest.mark.slow
@SIGNALS
def test_processes_that_decode_pictures_end_with_the_command(shop, tmp_path, ended_by, number, code):
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
def test_the_demo_ends_within_seconds(tmp_path, ended_by, number, code):
    ended, said = ended_by(
        number, ["demo", "--workspace", str(tmp_path)], lambda: (tmp_path / "datasets" / "hm").exists()
    )
    assert (ended, "Traceback" in said) == (code, False)
    assert said.splitlines()[-1].startswith("error: interrupted; finished work is kept")
