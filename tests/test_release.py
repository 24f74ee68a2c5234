"""What a release must have: one version everywhere, dated changes, a wheel of tssr alone that runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import tssr

ROOT = Path(tssr.__file__).resolve().parent


def test_the_version_stands_in_the_citation_too():
    assert f"version: {tssr.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_changelog_has_a_dated_section_for_each_version_but_the_one_to_come():
    titles = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if titles[0] == "Unreleased":
        titles.pop(0)
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", title) for title in titles)


def in_git() -> set[str]:
    """The files of the clone."""
    # In a container the clone may be another user's.
    command = ["git", "-c", "safe.directory=*", "ls-files"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.splitlines() if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist, built from a copy of what git holds."""
    if not (ROOT / ".git").exists():
        pytest.skip("a release is built from a clone, and this is none")
    clone, out = tmp_path_factory.mktemp("clone") / "tssr", tmp_path_factory.mktemp("dist")
    for name in in_git():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(clone)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


@pytest.mark.slow
def test_the_wheel_holds_tssr_alone(built):
    wheel = built[0]
    assert wheel.name.startswith(f"tssr-{tssr.__version__}-py3-none-any")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"tssr", f"tssr-{tssr.__version__}.dist-info"}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert {name.rpartition("/")[0].replace("/", ".") for name in names if name.endswith(".py")} == set(
        packages
    )
    assert "tssr/py.typed" in names


@pytest.mark.slow
def test_the_sdist_holds_the_clone(built):
    with tarfile.open(built[1]) as archive:
        held = {entry.name.partition("/")[2] for entry in archive.getmembers() if entry.isfile()}
    own = {name for name in held if name.partition("/")[0] in ("PKG-INFO", "setup.cfg", "tssr.egg-info")}
    assert held - own == in_git()


@pytest.mark.slow
def test_tests_run_from_the_sdist(built, tmp_path):
    """As a packager runs them, here with the packages of this environment: those that read the whole tree."""
    with tarfile.open(built[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    source = (tmp_path / f"tssr-{tssr.__version__}").rename(tmp_path / "tssr")
    chosen = ("core/test_artifacts.py", "features/test_store.py", "test_ci.py", "test_release.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not slow", *(f"tests/{name}" for name in chosen)],
        cwd=source,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """An environment with the wheel in it and this one's packages beside it: nothing is downloaded."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(built[0]) as wheel:
        wheel.extractall(site)
    beside = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "beside.pth").write_text(beside)  # after the wheel, which so comes first
    return folder / "bin" / "python"


@pytest.mark.slow
def test_the_wheel_runs_where_there_is_no_clone(installed, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*words):
        done = subprocess.run(
            [installed, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert str(installed.parents[1]) in run("-c", "import tssr; print(tssr.__file__)")
    assert "Usage: tssr" in run("-m", "tssr", "--help")
    run("-m", "tssr", "demo", "--customers", "150", "--articles", "60", "--workspace", "demo")
    (tmp_path / "ten_lines.py").write_text((ROOT / "examples" / "ten_lines.py").read_text())
    assert "history 1" in run("ten_lines.py")
