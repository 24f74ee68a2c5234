from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from pathlib import Path

import click
import pytest

from tssr.core.errors import TssrError
from tssr.pipeline.commands import COMMANDS
from tssr.pipeline.commands.stage_command import ManyOf, StageCommand


@pytest.fixture
def failing(tssr, monkeypatch):
    """`tssr evaluate`, where choosing the run raises what it is told to."""

    def run(error: BaseException, *arguments: str):
        def fail(*_):
            raise error

        monkeypatch.setattr("tssr.core.workspace.WorkspaceFolders.choose_run", fail)
        return tssr("evaluate", *arguments)

    return run


def test_a_foreseen_error_is_one_line_and_debug_shows_where(failing):
    failed = failing(TssrError("the cure\nis this"))
    assert (failed.code, failed.out) == (1, "")
    assert failed.err == "error: the cure is this\n"
    assert "Traceback" in failing(TssrError("no"), "--debug").err


def test_an_unforeseen_error_is_one_line_that_says_how_to_see_more(failing):
    failed = failing(ZeroDivisionError("by nought"))
    assert failed.code == 1
    assert failed.err == (
        "error: unexpected ZeroDivisionError: by nought (run again with --debug for the traceback)\n"
    )
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError("by nought"), "--debug")


def test_ctrl_c_is_one_line_and_exit_code_130(failing):
    failed = failing(KeyboardInterrupt())
    assert failed.code == 130
    assert failed.err.strip().startswith("error: interrupted")


def test_a_usage_error_names_the_help(tssr):
    failed = tssr("evaluate", "--tokp", "10")
    assert failed.code == 2
    assert "tssr evaluate --help" in failed.err
    assert tssr("nosuch").code == 2
    assert "error: unknown command 'trian'; did you mean train? There are demo, " in tssr("trian").err


def test_the_command_alone_shows_its_help(tssr):
    shown = tssr()
    assert (shown.code, shown.err) == (0, "")
    assert shown.out == tssr("--help").out


def test_several_values_after_one_option():
    seen = {}

    @click.command(cls=StageCommand)
    @click.option("--topk", type=ManyOf(click.INT), multiple=True)
    @click.option("--rate", type=click.FLOAT)
    @click.argument("name", required=False)
    def command(topk, rate, name):
        seen.update(topk=[k for group in topk for k in group], rate=rate, name=name)

    command.main(["shop", "--topk", "10", "-5", "--rate", "0.5"], standalone_mode=False)
    assert seen == {"topk": [10, -5], "rate": 0.5, "name": "shop"}
    command.main(["--topk=3,4", "--topk", "5"], standalone_mode=False)
    assert seen["topk"] == [3, 4, 5]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(tssr, name):
    shown = tssr(name, "--help")
    assert shown.code == 0
    assert f"tssr {name}" in shown.out.partition("Example")[2]


@pytest.fixture
def one_thread():
    """Let torch use one thread: with more, a busy machine may sum in another order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_train_command_killed_by_ctrl_c_goes_on_where_it_was(tssr, shop, tmp_path, program):
    tssr("preprocess", "hm", "--raw", shop)
    arguments = ["train", "--model", "sasrec-id", "--width", "8", "--heads", "2", "--batch-size", "4"]
    arguments += ["--max-epochs", "120", "--patience", "1000", "--validate-every", "1", "--run", "mine"]
    run = tmp_path / "workspace" / "runs" / "mine"
    process = program("-m", "tssr", *arguments, stderr=subprocess.PIPE)
    log = run / "log.jsonl"
    while process.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 5):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert err.decode().strip().splitlines()[-1].startswith("error: interrupted")
    unfinished = tssr("evaluate", "--run", "mine")
    assert "mine did not finish; the same train command resumes it" in unfinished.err
    assert tssr(*arguments).code == 0
    resumed = log.read_text()
    assert tssr(*arguments, "--force").code == 0
    assert without_time(resumed) == without_time(log.read_text())


def without_time(log: str) -> list[str]:
    return [line.split(', "seconds"')[0] for line in log.splitlines()]


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tssr, shop, tmp_path, monkeypatch):
    tssr("preprocess", "hm", "--raw", shop)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tssr.core.artifacts._sync", full)
    failed = tssr("train", "--model", "poprec", "--run", "pop")
    assert failed.code == 1
    assert "is full; free space there, or write elsewhere" in failed.err
    assert failed.err.count("\n") == 1
    left = [path.name for path in Path(tmp_path / "workspace" / "runs").rglob("*") if path.is_file()]
    assert left == [".lock"]
