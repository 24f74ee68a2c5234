"""A shop with hostile titles, three small runs on it, and their report."""

import csv
import shutil

import pytest

from tssr.cli import main

HOSTILE = "</script><script>document.title='taken over'</script>"
QUOTES = """She said "it's" & left"""
SMALL = ("--width", "8", "--heads", "2", "--max-epochs", "2", "--batch-size", "16")


@pytest.fixture(scope="session")
def hostile_shop(shop, tmp_path_factory):
    """The shop, where two articles are called what an attacker would call them."""
    folder = tmp_path_factory.mktemp("hostile") / "raw"
    shutil.copytree(shop, folder)
    with (folder / "articles.csv").open() as file:
        rows = list(csv.DictReader(file))
    rows[0]["prod_name"], rows[1]["prod_name"] = HOSTILE, QUOTES
    with (folder / "articles.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="session")
def reported(hostile_shop, tmp_path_factory):
    """A workspace with evaluated runs of PopRec, SASRec-ID and TSSR."""
    folder = tmp_path_factory.mktemp("reported")
    where = ["--workspace", str(folder)]
    main(["preprocess", "hm", "--raw", str(hostile_shop), *where])
    encoder = ["--encoder", "squeezenet1_1", "--weights", "random", "--workers", "0"]
    main(["extract-features", "--modality", "image", *encoder, *where])
    for model in ("poprec", "sasrec-id", "tssr"):
        options = () if model == "poprec" else SMALL
        main(["train", "--model", model, "--run", model, *options, *where])
        main(["evaluate", "--run", model, "--topk", "5", *where])
    return folder


@pytest.fixture
def workspace(reported, tmp_path):
    """A copy of the workspace, to change."""
    shutil.copytree(reported, tmp_path / "workspace")
    return tmp_path / "workspace"
