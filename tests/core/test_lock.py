"""Locks where there are some, and what happens on a file system without."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time

import pytest

from tssr.core.artifacts import atomic_folder
from tssr.core.errors import TssrError
from tssr.core.lock import exclusive, take_lock


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF])
def no_locks(request, monkeypatch):
    def refuse(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_lock_is_ours_or_anothers(tmp_path):
    first, second = (os.open(tmp_path, os.O_RDONLY) for _ in range(2))
    try:
        assert take_lock(first, wait=False) is True
        assert take_lock(second, wait=False) is False
    finally:
        os.close(first)
    assert take_lock(second, wait=True) is True
    os.close(second)


def test_who_comes_second_says_whom_it_waits_for(tmp_path, capfd):
    order = []

    def second():
        with exclusive(tmp_path / "run"):
            order.append("second")

    with exclusive(tmp_path / "run"):
        waiting = threading.Thread(target=second)
        waiting.start()
        deadline = time.monotonic() + 60
        while "waiting for it to finish" not in (said := capfd.readouterr().err):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        order.append("first")
    waiting.join()
    assert f"run is being written by process {os.getpid()} on " in said
    assert order == ["first", "second"]


def test_files_of_one_name_are_held_without_the_folder(tmp_path, capfd):
    with exclusive(tmp_path, "study-a"), exclusive(tmp_path, "study-b"), exclusive(tmp_path):
        assert capfd.readouterr().err == ""
        descriptor = os.open(tmp_path / ".study-a.lock", os.O_RDONLY)
        assert take_lock(descriptor, wait=False) is False
        os.close(descriptor)


def test_without_locks_work_goes_on_and_says_so(no_locks, tmp_path, capfd):
    with exclusive(tmp_path / "run"):
        pass
    said = capfd.readouterr().err
    assert f"the file system of {tmp_path / 'run'} has no locks; give only one command at a time" in said
    assert said.count("\n") == 1


def test_without_locks_folders_are_still_whole_and_nothing_of_others_is_cleared(no_locks, tmp_path):
    of_another = tmp_path / ".table.1.partial"
    of_another.mkdir()
    with atomic_folder(tmp_path / "table") as temporary:
        (temporary / "a").write_text("a")
    assert (tmp_path / "table" / "a").read_text() == "a"
    assert of_another.is_dir(), "nobody can tell whether its writer lives"


def test_another_failure_of_the_lock_is_one_line(monkeypatch, tmp_path):
    def refuse(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(TssrError, match=r"could not lock .*run: Input/output error"),
        exclusive(tmp_path / "run"),
    ):
        pass
