"""The house rules that no type checker knows: packaging, help, cheap starts, no pickle."""

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

import tssr
from tssr.cli import cli
from tssr.pipeline.commands import COMMANDS

ROOT = Path(tssr.__file__).parent
NOT_PACKAGED = {"tests", "benchmarks", "docs", "examples", "build", "dist"}
HEAVY = ["torch", "torchvision", "transformers", "polars", "faiss", "matplotlib", "sklearn", "jinja2"]
PICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def is_ours(path):
    parts = path.relative_to(ROOT).parts
    return not any(part in NOT_PACKAGED or part.startswith((".", "__pycache__")) for part in parts)


MODULES = sorted(path for path in ROOT.rglob("*.py") if is_ours(path) and ".venv" not in path.parts)


def test_every_package_is_installed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent.relative_to(ROOT) for path in MODULES}
    assert sorted(settings["packages"]) == sorted(".".join(("tssr", *folder.parts)) for folder in folders)


def test_what_else_the_packages_read_is_installed_too():
    """Templates, styles and scripts: pip leaves out what no pattern of package-data names."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    named = {
        path
        for package, globs in patterns.items()
        for pattern in globs
        for path in ROOT.joinpath(*package.split(".")[1:]).glob(pattern)
    }
    folders = {path.parent for path in MODULES} - {ROOT}
    endings = {".css", ".j2", ".js", ".json", ".html", ".txt"}
    inside = {
        path for folder in folders for path in folder.rglob("*") if path.suffix in endings and is_ours(path)
    }
    assert inside
    assert inside <= named


def test_every_folder_with_modules_is_a_package():
    assert [path.parent for path in MODULES if not (path.parent / "__init__.py").exists()] == []


def test_the_root_holds_only_the_command_line():
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py", "cli.py"}


def test_tests_are_no_package_and_have_unique_names():
    files = list((ROOT / "tests").rglob("*.py"))
    assert not [path for path in files if path.name == "__init__.py"]
    names = [path.name for path in files if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pickle_is_written_or_read(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not PICKLERS & {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert (node.module or "").split(".")[0] not in PICKLERS
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert not called.endswith((".read_pickle", ".to_pickle", "torch.save")), called
            assert keywords.get("allow_pickle", "False") == "False"
            if called in ("torch.load", "load_state_dict_from_url"):
                assert keywords.get("weights_only") == "True", f"line {node.lineno}: {called}"


def test_the_pickle_check_would_find_one(tmp_path):
    for line in ("import pickle", "from joblib import load", "torch.load(x)", "torch.save(x, y)"):
        (tmp_path / "m.py").write_text(line)
        with pytest.raises(AssertionError):
            test_no_pickle_is_written_or_read(tmp_path / "m.py")


def command_of(name):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name):
    command = command_of(name)
    assert command.name == name
    assert command.help
    assert "Examples:" in command.help or "Example:" in command.help, "a command shows how it is called"
    silent = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert silent == []


def imported_by(arguments):
    # What is there before may come from the machine: a sitecustomize that sets torch's precision loads torch.
    script = (
        "import json, sys\n"
        "was = set(sys.modules)\n"
        "from tssr.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - was}\n"
        "print(json.dumps(sorted(new)), file=sys.stderr)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Usage: tssr" in result.stdout
    return set(json.loads(result.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_imports_nothing_heavy(arguments):
    assert imported_by(arguments) & set(HEAVY) == set()


def test_help_lists_every_command(tssr):
    shown = tssr("--help").out
    assert all(name in shown and line in " ".join(shown.split()) for name, (_, line) in COMMANDS.items())
