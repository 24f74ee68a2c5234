"""The notebooks of examples/ run from first to last cell on a small shop, and are kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tssr

EXAMPLES = Path(tssr.__file__).resolve().parent / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def test_there_are_four():
    assert [path.name[0] for path in NOTEBOOKS] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_are_kept_without_outputs(path):
    cells = json.loads(path.read_text())["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


# What the prose of a notebook promises to show, as words in its outputs.
PROMISED = {"4-comparing-honestly": ("p_value", "adjusted", "p_all", "itemknn", "poprec")}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_tables_and_a_picture(path, tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("TSSR_EXAMPLE_CUSTOMERS", "150")
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    kinds = {kind for data in shown for kind in data}
    assert {"image/png", "text/html"} <= kinds
    words = PROMISED.get(path.stem, ())
    assert not words or any(all(word in data.get("text/html", "") for word in words) for data in shown)
