"""What the tests of several stages share."""

import contextlib
import io

import pytest

from tssr.cli import main
from tssr.pipeline.compare.training_pool import TrainingPool


@pytest.fixture
def commands(monkeypatch):
    """Train in this process, which is faster; returns the commands that were given."""
    given = []

    def run(_self, label, command):
        given.append(command)
        with contextlib.redirect_stdout(io.StringIO()):
            main(list(command)[1:])

    monkeypatch.setattr(TrainingPool, "_run", run)
    return given
