"""A model of a person's own, in twenty lines, trained, measured and compared like the others."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

import tssr
from tssr.core.errors import ArtifactError, UsageError
from tssr.model.own_models import environment, load_own_models, refuse_unreachable
from tssr.model.registry import MODELS

SOURCE = '''
"""The mean of what was taken so far, compared with a table of items."""

import tssr
from tssr.model.heads import item_head
from tssr.model.inputs import ItemVectors
from tssr.model.layers import initialise
from tssr.model.recommender import SequenceRecommender


@tssr.register_model("mean-of-items", title="Mean")
class Mean(SequenceRecommender):
    """An average."""

    def __init__(self, materials, settings):
        super().__init__(materials.length)
        self.vectors = ItemVectors(materials.item_count, settings.width)
        initialise(self, materials.item_count)
        self.head = item_head(materials, settings, self.vectors)

    def states(self, inputs):
        real = (inputs > 0).unsqueeze(-1)
        return (self.vectors(inputs) * real).cumsum(1) / real.cumsum(1).clamp(min=1)
'''

IMPORTED = ("own_model", "pack", "helper", "installed")


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The file my_own_models.py in a folder that only this process can import from."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "my_own_models.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    yield importlib.import_module("my_own_models")
    MODELS.pop("mean-of-items", None)
    sys.modules.pop("my_own_models", None)


@pytest.fixture
def shop(tmp_path):
    draw = np.random.default_rng(2)
    rows = [{"user": f"u{u}", "item": f"i{draw.integers(12)}", "at": n} for u in range(12) for n in range(6)]
    workspace = tssr.Workspace(tmp_path / "workspace")
    return workspace.preprocess(
        interactions=pl.DataFrame(rows), user="user", item="item", time="at", min_actions=0
    )


def test_it_trains_and_is_measured_like_any(module, shop):
    run = shop.train("mean-of-items", width=8, max_epochs=1, device="cpu")
    assert run.evaluate(topk=[5], mask="none")["model"].to_list() == ["Mean"]
    assert run.record["model_code"] == MODELS["mean-of-items"].code != ""
    with pytest.raises(UsageError, match="--lambda-user: mean-of-items has no such option; it has --width"):
        shop.train("mean-of-items", lambda_user=1)


def test_changed_code_is_another_run_and_does_not_measure_the_old_one(module, shop, tmp_path):
    settings = {"width": 8, "max_epochs": 1, "device": "cpu"}
    before = shop.train("mean-of-items", **settings)
    path = tmp_path / "code" / "my_own_models.py"
    path.write_text(SOURCE.replace("An average.", "Another average."))
    importlib.reload(module)
    assert shop.train("mean-of-items", **settings).name != before.name
    with pytest.raises(ArtifactError, match="was trained by other code of the model mean-of-items"):
        before.evaluate(topk=[5])


CHANGES = {
    "my_own_models.py": ("SCALE = 1.0", "SCALE = 2.0"),
    "my_own_settings.py": ("0.5", "0.75"),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_changed_helper_or_settings_class_is_other_code(tmp_path, monkeypatch, changed):
    """Code of the model that stands beside its class in the file, or in the file of its settings."""
    base = "from tssr.model.settings import WindowSettings"
    settings = f"{base}\n\nclass Own(WindowSettings):\n    rate: float = 0.5\n"
    model = SOURCE.replace(
        "@tssr.register", "from my_own_settings import Own\n\nSCALE = 1.0\n\n\n@tssr.register"
    )
    files = {
        "my_own_models.py": model.replace('"Mean")', '"Mean", settings=Own)'),
        "my_own_settings.py": settings,
    }
    monkeypatch.syspath_prepend(str(tmp_path))
    codes = []
    try:
        for old, new in (("", ""), ("", ""), CHANGES[changed]):
            for name, text in files.items():
                (tmp_path / name).write_text(text.replace(old, new) if name == changed else text)
            for name in files:
                sys.modules.pop(name.removesuffix(".py"), None)
            importlib.invalidate_caches()
            importlib.import_module("my_own_models")
            codes.append(MODELS["mean-of-items"].code)
    finally:
        MODELS.pop("mean-of-items", None)
        for name in files:
            sys.modules.pop(name.removesuffix(".py"), None)
    assert codes[0] == codes[1] != codes[2]


@pytest.mark.slow
@pytest.mark.parametrize("file", ["own_model.py", "own_model/__init__.py"])
def test_other_processes_find_the_folder_of_a_file_or_of_a_package(tmp_path, monkeypatch, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    try:
        importlib.import_module("own_model")
        assert environment()["PYTHONPATH"].split(os.pathsep)[0] == str(tmp_path.resolve())
    finally:
        MODELS.pop("mean-of-items", None)
        sys.modules.pop("own_model", None)


@pytest.mark.parametrize(
    ("changed", "other"),
    [
        ("helper.py", True),
        ("pack/deep/far.py", True),
        ("pack/deep/__init__.py", True),
        ("stranger.py", False),  # beside it, and imported by nobody
        ("site-packages/installed.py", False),
    ],
)
@pytest.mark.parametrize("name", ["own_model", "pack.own_model"])
def test_what_a_model_imports_from_beside_it_is_part_of_its_code(tmp_path, monkeypatch, name, changed, other):
    """The model imports helper, which imports pack.deep.far; either may be a module or stand in a package."""
    for folder in ("pack/deep", "site-packages"):
        (tmp_path / folder).mkdir(parents=True)
    files = {
        "pack/__init__.py": "",
        "pack/deep/__init__.py": "",
        "helper.py": "import installed, json\nfrom pack.deep import far\n",
        "pack/deep/far.py": "from . import far\nVALUE = 1\n",  # a circle
        "stranger.py": "",
        "site-packages/installed.py": "",
        f"{name.replace('.', '/')}.py": "import helper\n" + SOURCE,
    }
    for file, source in files.items():
        (tmp_path / file).write_text(source)
    for folder in (tmp_path / "site-packages", tmp_path):
        monkeypatch.syspath_prepend(str(folder))
    codes = []
    for line in ("", "# changed\n"):
        (tmp_path / changed).write_text(files[changed] + line)
        importlib.invalidate_caches()
        try:
            importlib.import_module(name)
            codes.append(MODELS.pop("mean-of-items").code)
        finally:
            for module in [each for each in sys.modules if each.split(".")[0] in IMPORTED]:
                del sys.modules[module]
    assert (codes[0] != codes[1]) is other


def test_a_process_of_its_own_learns_of_it(module, shop, tmp_path):
    """What compare starts: the command, with the environment that names the module and where it lies."""
    assert environment()["TSSR_MODELS"] == "my_own_models"
    compared = shop.compare(
        ["poprec", "mean-of-items"], seeds=1, topk=[5], width=8, max_epochs=1, device="cpu"
    )
    assert "mean-of-items" in repr(compared)


def test_the_command_knows_the_models_that_the_variable_lists(tmp_path, monkeypatch):
    (tmp_path / "my_own_models.py").write_text(SOURCE)
    script = [sys.executable, "-m", "tssr", "train", "--model", "mean-of-items", "--workspace", "none"]
    monkeypatch.setenv("TSSR_MODELS", "my_own_models")
    known = subprocess.run(script, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "holds no data set" in known.stderr
    monkeypatch.delenv("TSSR_MODELS")
    unknown = subprocess.run(script, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "--model: unknown model 'mean-of-items'; there are poprec" in unknown.stderr


def test_a_name_that_is_taken_and_a_module_that_is_not_there_are_one_line(monkeypatch):
    with pytest.raises(UsageError, match=r"register_model\('tssr'\): tssr has a model of that name"):
        tssr.register_model("tssr")
    with pytest.raises(UsageError, match=r"register_model\('My Model'\): use small letters"):
        tssr.register_model("My Model")
    monkeypatch.setenv("TSSR_MODELS", "no_such_models")
    with pytest.raises(UsageError, match="TSSR_MODELS: could not import 'no_such_models'"):
        load_own_models()


def test_a_model_of_a_notebook_cannot_be_compared():
    def build(_materials, _settings):
        return None

    build.__module__ = "__main__"
    tssr.register_model("of-a-notebook")(build)
    try:
        with pytest.raises(UsageError, match=r"registered in a notebook or script.*write it into a file"):
            refuse_unreachable("of-a-notebook")
        assert environment() == {}
    finally:
        del MODELS["of-a-notebook"]
