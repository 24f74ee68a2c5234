"""A command that is told to end raises, once, and leaves the signals as they were."""

from __future__ import annotations

import os
import signal
import threading

import click
import pytest

from tssr.cli import main
from tssr.core.signals import Stopped, stoppable, stopped_by

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
    assert stopped_by(raised.value) == number
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
