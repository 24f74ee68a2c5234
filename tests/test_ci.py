"""What .ci/run does before the tests: it asks for room on the disk, and has pip keep no second copy."""

import shutil
import subprocess
from pathlib import Path

import pytest

import tssr

RUN = Path(tssr.__file__).parent / ".ci" / "run"


@pytest.fixture
def run(tmp_path):
    """Run a copy of the script where df says how much is free, and make says what it was called with."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(RUN, tmp_path / ".ci" / "run")

    def of(free, *, installed=False):
        kibibytes = free * 10**9 // 1024 + 1
        scripts = {
            "df": f"echo Filesystem 1024-blocks Used Available; echo / 0 0 {kibibytes}",
            "make": 'echo "made $1 with PIP_NO_CACHE_DIR=$PIP_NO_CACHE_DIR"; exit 3',
        }
        for name, script in scripts.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        if installed:
            (tmp_path / ".venv").mkdir()
            (tmp_path / ".venv" / ".installed").touch()
        path = f"{tmp_path}:/usr/bin:/bin"
        command = [tmp_path / ".ci" / "run"]
        return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=False)

    return of


@pytest.mark.parametrize(("free", "installed", "needed"), [(11, False, 12), (2, True, 3)])
def test_it_stops_at_once_where_the_disk_is_too_small(run, free, installed, needed):
    done = run(free, installed=installed)
    assert (done.returncode, done.stdout) == (1, f"disk: {free} GB free, {needed} GB needed\n")
    assert "too little: free space on the disk that holds " in done.stderr


@pytest.mark.parametrize(("free", "installed"), [(12, False), (3, True)])
def test_pip_keeps_no_second_copy_of_what_it_installs(run, free, installed):
    done = run(free, installed=installed)
    assert done.returncode == 3
    assert done.stdout.splitlines()[1:] == ["made test with PIP_NO_CACHE_DIR=1"]
