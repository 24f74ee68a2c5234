"""A command that is told to end raises, once, and leaves the signals as they were."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import click
import pytest

from tssr.cli import main
from tssr.core.errors import DataError
from tssr.core.signals import Stopped, signal_behind, stoppable

STOPPING = [signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch):
    """Whatever the tests were started with."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOPPING)
def test_the_first_signal_raises_and_the_next_do_not_disturb(number):
    def told_twice():
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)  # while things are tidied up

    with pytest.raises(Stopped) as raised, stoppable():
        told_twice()
    assert signal_behind(raised.value) == number
    assert all(signal.getsignal(each) is signal.SIG_DFL for each in STOPPING)


def test_what_was_ignored_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stoppable():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_under_torchrun_and_in_threads_nothing_changes(monkeypatch):
    def handlers():
        with stoppable():
            seen.extend(signal.getsignal(each) for each in STOPPING)

    seen = []
    thread = threading.Thread(target=handlers)
    thread.start()
    thread.join()
    monkeypatch.setenv("WORLD_SIZE", "2")
    handlers()
    assert seen == [signal.SIG_DFL] * 4


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (None, 130)])
def test_the_command_line_says_that_work_is_kept(monkeypatch, capfd, number, code):
    @click.command()
    def command():
        if number is None:
            raise KeyboardInterrupt
        os.kill(os.getpid(), number)

    monkeypatch.setattr("tssr.cli.LazyGroup.get_command", lambda *_: command)
    with pytest.raises(SystemExit) as stop:
        main(["train"])
    assert stop.value.code == code
    assert "error: interrupted; finished work is kept, the same command resumes" in capfd.readouterr().err


def _while_a_class_is_made(error):
    class Field:
        def __set_name__(self, owner, name):
            raise error

    type("Owner", (), {"field": Field()})


def _foreseen(error):
    try:
        _while_a_class_is_made(error)
    except BaseException as made:
        raise DataError("the file is broken") from made


def _while_tidying_up(error):
    try:
        raise error
    finally:
        raise OSError("no such file")


@pytest.mark.parametrize("hide", [_while_a_class_is_made, _foreseen, _while_tidying_up])
@pytest.mark.parametrize(
    ("error", "number"), [(KeyboardInterrupt(), 2), (Stopped(15), 15), (ValueError(), None)]
)
def test_an_interruption_is_found_in_the_error_that_hides_it(hide, error, number):
    with pytest.raises((Exception, KeyboardInterrupt)) as raised:
        hide(error)
    assert signal_behind(raised.value) == number


def test_a_hidden_interruption_is_no_unexpected_error(monkeypatch, capfd):
    command = click.Command("train", callback=lambda: _while_a_class_is_made(Stopped(15)))
    monkeypatch.setattr("tssr.cli.LazyGroup.get_command", lambda *_: command)
    with pytest.raises(SystemExit) as stop:
        main(["train"])
    assert (stop.value.code, capfd.readouterr().err.startswith("error: interrupted;")) == (143, True)


def test_an_interruption_within_executed_text_leaves_the_exit_code(tmp_path):
    (tmp_path / "interrupted.py").write_text(
        "import tssr.cli\n"
        "tssr.cli.cli.main = lambda **_: exec('raise KeyboardInterrupt')\n"
        "tssr.cli.main(['train'])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-m", "interrupted"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith("error: interrupted")) == (130, True)
