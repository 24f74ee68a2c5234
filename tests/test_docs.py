"""What README and docs say can be done: options exist, commands are understood and run, Python blocks run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import polars as pl
import pytest
from PIL import Image

import tssr as package
from tssr.cli import cli
from tssr.core.workspace import WorkspaceFolders
from tssr.pipeline.commands import COMMANDS
from tssr.pipeline.demo.dump import make_dump
from tssr.pipeline.demo.settings import DemoSettings

ROOT = Path(package.__file__).resolve().parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Of pip, pytest, torchrun, sha256sum and the scripts of benchmarks/, which have options of their own.
FOREIGN = {"--nproc-per-node", "--nnodes", "--rdzv-endpoint", "--editable", "--extra-index-url", "--check"}
FOREIGN |= {"--rdzv-backend", "--index-url", "--help", "--version", "--share", "--upgrade"}
FOREIGN |= {"--driver-memory", "--logdir"}
PLACEHOLDERS = ("…", "NAME", "OPTION", "...")


def commands(page):
    """The commands of a page's indented blocks, lines that go on joined, comments and pipes cut off."""
    text = page.read_text().replace("\\\n", " ")
    found = []
    for line in re.findall(r"^(?: {4}|\$ )((?:torchrun .*|tssr) .*)$", text, re.MULTILINE):
        words = shlex.split(line, comments=True)
        words = words[words.index("tssr") + 1 :]
        if words and words[0] in COMMANDS:
            found.append(words)
    return found


COMMANDS_OF = [(page.name, words) for page in PAGES for words in commands(page)]


def command_of(name):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


def options_of_all():
    params = [param for name in COMMANDS for param in command_of(name).params]
    return {option for param in params for option in (*param.opts, *param.secondary_opts)}


def test_the_pages_have_commands():
    assert {"README.md", "serving.md", "cold-items.md"} <= {page for page, _ in COMMANDS_OF}


@pytest.mark.parametrize(("page", "words"), COMMANDS_OF, ids=lambda value: "_".join(value)[:60])
def test_every_command_of_the_docs_is_understood(page, words):
    """Options exist and their values are of the right kind; nothing is run."""
    if not any(sign in word for word in words for sign in PLACEHOLDERS):
        command_of(words[0]).make_context(words[0], list(words[1:]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_named_in_the_docs_exists(page):
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9]*(?:-[a-z0-9]+)*", page.read_text()))
    scripts = "".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
    unknown = {name for name in named - options_of_all() - FOREIGN if f'"{name}"' not in scripts}
    assert unknown == set()


def blocks(page):
    """The Python blocks of a page: what stands behind ```python, and the code."""
    return re.findall(r"^```python(.*?)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def test_every_page_is_in_the_navigation_and_linked_from_the_first_page():
    """mkdocs only notes a page that its navigation lacks, and builds the site all the same."""
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    navigation = (ROOT / "mkdocs.yml").read_text().split("nav:")[1].split("validation:")[0]
    listed = re.findall(r"[\w-]+\.md", navigation)
    assert sorted(listed) == sorted(pages)
    linked = re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs" / "index.md").read_text())
    assert set(linked) == pages - {"index.md"}


@pytest.mark.slow
@pytest.mark.parametrize("page", ["python.md", "serving.md"])
def test_the_python_blocks_run_in_order(page, bert, tmp_path):
    """As one script, in a folder that holds what a block `requires`."""
    script = [f"import sys; sys.path.insert(0, {str(tmp_path)!r})"]
    for info, code in blocks(ROOT / "docs" / page):
        if "file=" in info:
            (tmp_path / info.split("file=")[1]).write_text(code)
        else:
            script.append(code.replace("sentence-transformers/all-MiniLM-L6-v2", str(bert)))
    if page == "serving.md":
        served(tmp_path)
        script.append(HELD_AGAINST_RANK)
    (tmp_path / "page.py").write_text("\n".join(script))
    done = subprocess.run(
        [sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# Qdrant's list is that of the exported program for the same history.
HELD_AGAINST_RANK = """
import json, subprocess, sys
ids = {item["item"]: item["item_id"] for item in items.to_pylist()}
asked = json.dumps([ids[number] for number in newest])
rank = [sys.executable, "served/rank.py"]
said = subprocess.run(rank, input=asked, capture_output=True, text=True, check=True)
assert json.loads(said.stdout)["items"][:10] == listed, (said.stdout, listed)
"""


def log():
    draw = np.random.default_rng(4)
    rows = [
        {"user_id": str(u), "item_id": f"i{draw.integers(40)}", "time": 10 * u + n}
        for u in range(80)
        for n in range(8)
    ]
    return pl.DataFrame(rows)


def served(folder):
    """A small run, exported to the folder `served`."""
    shop = package.Workspace(folder / "workspace").preprocess(
        interactions=log(), time="time", dataset="shop", min_actions=0
    )
    run = shop.train("sasrec-id", width=8, heads=2, feedforward_width=8, max_epochs=1, device="cpu")
    run.export(folder / "served")


@pytest.mark.slow
def test_the_site_is_built_strictly(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT.parent), "NO_MKDOCS_2_WARNING": "1"}
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        tmp_path / "site",
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site" / "reference" / "index.html").read_text()
    assert all(name in reference for name in ("recommend", "extract_features", "register_model", "TssrError"))


# Pages whose commands are run on the demo's data. The others tell how published numbers were made, on data
# that is not here and for hours: their commands are parsed above.
RUN_PAGES = ["README.md", "index.md", "cold-items.md", "serving.md"]
OF_A_DATASET = {"extract-features", "train", "compare", "tune"}
UNTRAINED = {"poprec", "itemknn", "content-knn"}


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN_PAGES)
def test_the_commands_of_a_page_run_in_order_on_the_demos_data(page, demo, bert, tssr, tmp_path):
    """With the smallest settings and encoders that need no download; files are made as commands map them."""
    shutil.copytree(demo, tmp_path / "workspace", dirs_exist_ok=True)
    current = "hm"  # the data set that a reader of the page, who has no other, means
    for name, words in COMMANDS_OF:
        if name == page and "--help" not in words and words != ["download-images", "phone"]:
            if words[0] == "preprocess":
                current = option(words, "--dataset") or words[1]
            elif words[0] in OF_A_DATASET and "--dataset" not in words:
                words = [*words, "--dataset", current]
            done = tssr(*small(words, tmp_path, bert, current))
            assert done.code == 0, (words, done.err)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A workspace with a small generated shop as the raw dump of hm, preprocessed, and a run."""
    folder = tmp_path_factory.mktemp("demo") / "workspace"
    raw = WorkspaceFolders(folder).raw("hm")
    make_dump(raw, DemoSettings(customers=120, articles=60), force=False)
    shop = package.Workspace(folder).preprocess("hm")
    shop.train("sasrec-id", max_epochs=1, width=8, heads=2, device="cpu")
    return folder


def small(words, folder, bert, dataset):
    """A command of the docs with its files made and its cost cut; `dataset` is the one that is current."""
    words = list(words)
    tables = folder / "workspace" / "datasets" / dataset
    if words[:2] == ["preprocess", "custom"]:
        write_log(folder, option(words, "--interactions"), option(words, "--items"), option(words, "--map"))
    if words[0] == "extract-features":
        encoder = {"text": bert, "image": "squeezenet1_1"}[option(words, "--modality")]
        words = [*without(words, "--encoder", "--weights"), "--encoder", str(encoder)]
        words += ["--weights", "random"] if option(words, "--modality") == "image" else []
    if words[0] in ("train", "compare", "tune") and option(words, "--model") not in UNTRAINED:
        words += ["--max-epochs", "1", "--width", "8"]
    if words[0] == "compare":
        words = ["poprec" if word == "all" else word for word in words] + ["--seeds", "1"]
        words += ["--models", "sasrec-id"]
    if words[0] == "demo":
        words += ["--customers", "120", "--articles", "60", "--workspace", "shown"]
    if words[0] == "recommend" and "--user" in words:
        users = pl.read_parquet(tables / "users.parquet")
        words[words.index("--user") + 1] = users["user_id"][0]
    if option(words, "--history"):
        items = pl.read_parquet(tables / "items.parquet")
        pl.DataFrame({"user_id": ["new"] * 2, "item_id": items["item_id"][:2]}).write_csv(folder / "new.csv")
    return words


def option(words, name):
    """The value behind an option, None where it is not given."""
    return words[words.index(name) + 1] if name in words else None


def without(words, *names):
    """The words without some options and their values."""
    for name in names:
        if name in words:
            place = words.index(name)
            words = words[:place] + words[place + 2 :]
    return words


def write_log(folder, interactions, items, mapping):
    """The files that a command names, with the columns that it maps."""
    columns = dict(entry.split("=") for entry in (mapping or "").split(","))
    rows = log().rename({"user_id": columns["user"], "item_id": columns["item"], "time": columns["time"]})
    packed = "gzip" if interactions.endswith(".gz") else "uncompressed"
    rows.write_csv(folder / interactions, compression=packed)
    if items is not None:
        ids = rows[columns["item"]].unique().sort()
        table = pl.DataFrame({columns["item"]: ids})
        for name in columns.get("text", "").split("+"):
            table = table.with_columns(pl.Series(name, words_for(len(ids))))
        if "image" in columns:
            Image.new("RGB", (40, 40)).save(folder / "picture.jpg")
            table = table.with_columns(pl.lit("picture.jpg").alias(columns["image"]))
        table.write_csv(folder / items)


def words_for(count):
    """Texts in words that the small encoder of these tests tells apart."""
    kinds = ("red shirt", "blue shoes", "old shirt", "red shoes")
    return [f"{kinds[n % 4]} {chr(97 + n % 26)} {chr(97 + n // 4 % 26)}" for n in range(count)]
