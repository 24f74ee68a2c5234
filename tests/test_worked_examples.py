"""Every example in a docstring (>>>) gives the output that stands below it."""

import doctest
import importlib
from pathlib import Path

import pytest

import tssr

ROOT = Path(tssr.__file__).parent
ROOMS = ("api", "core", "evaluation", "features", "model", "pipeline", "testing")
WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def test_examples_are_found_in_every_package_that_has_some():
    assert {name.split(".")[0] for name in WITH_EXAMPLES} == {
        "core",
        "evaluation",
        "features",
        "model",
        "pipeline",
    }


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_worked_examples_hold(name):
    found = doctest.testmod(importlib.import_module(f"tssr.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
