"""What the tests of several stages share."""

import contextlib
import io

import pytest

from tssr.cli import main
from tssr.core.errors import TssrError
from tssr.pipeline.compare.training_pool import TrainingPool


@pytest.fixture
def commands(monkeypatch):
    """Train in this process, which is faster; returns the commands that were given."""
    given = []

    def run(_self, label, command):
        given.append(command)
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                main(list(command)[1:])
            except SystemExit:
                raise TssrError(label) from None

    monkeypatch.setattr(TrainingPool, "_run", run)
    return given
