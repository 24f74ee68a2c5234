"""What the scripts of benchmarks/ import is there: they run by hand, so nothing else notices a moved name."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


def _defined(path: Path) -> set[str]:
    """Every name that a script defines, imports or assigns."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_name_a_script_imports_from_its_neighbours_or_from_tssr_exists(script: Path) -> None:
    """Other packages may be absent here: peers run in environments of their own."""
    missing = []
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        neighbour = FOLDER / f"{node.module}.py"
        if neighbour.exists():
            there = _defined(neighbour)
            missing += [f"{node.module}.{alias.name}" for alias in node.names if alias.name not in there]
        elif node.module.split(".")[0] == "tssr":
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
    assert not missing


def test_a_way_without_room_or_with_a_failure_costs_its_own_lines(monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    end_to_end = importlib.import_module("end_to_end")
    tried = []

    def measured(kind: str, name: str, batch: int, device: str) -> dict[str, float] | str:
        tried.append((name, batch))
        if name == "plain" and batch > 64:
            return end_to_end.NO_ROOM
        if name == "lora":
            return "failed: RuntimeError: no kernel"
        return {"contents": 100, "seconds": 0.5, "each": 0.002, "peak": 7}

    monkeypatch.setattr(end_to_end, "measured", measured)
    assert not end_to_end.table("image", ["full-64", "plain", "lora", "side"], 256, "cuda")
    assert tried == [
        ("full-64", 256),
        ("plain", 256),
        ("plain", 128),
        ("plain", 64),
        ("lora", 256),
        ("side", 256),
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("does not fit")
    assert lines[3].split()[:3] == ["image", "64", "plain"]
    assert "no kernel" in lines[4]
    assert end_to_end.table("image", ["full-64"], 256, "cuda")
