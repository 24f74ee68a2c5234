"""A disk that is full: one line with file and cure, nothing half written, and the same command goes on."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from tssr.cli import main
from tssr.core import artifacts
from tssr.core.artifacts import append_line, atomic_path
from tssr.core.errors import TssrError, os_errors_as_tssr, system_code
from tssr.model import checkpoint
from tssr.model.tracking import RunLog
from tssr.pipeline.export.graphs import write_graphs
from tssr.pipeline.export.tables import write_index
from tssr.pipeline.runs import train as train_module

NO_SPACE = os.strerror(errno.ENOSPC)
FULL = Path("/dev/full")  # Linux's device on which every write finds no space
on_linux = pytest.mark.skipif(not FULL.exists(), reason="only Linux has /dev/full")
ENCODER = ("--encoder", "squeezenet1_1", "--weights", "random")
SMALL = ("--width", "8", "--heads", "2", "--blocks", "1", "--batch-size", "32", "--validate-every", "1")
COMMANDS = {
    "preprocess": ("preprocess", "hm", "--raw", "SHOP", "--force"),
    "extract-features": ("extract-features", "--modality", "image", *ENCODER, "--inputs"),
    "train": ("train", "--model", "sasrec-id", *SMALL, "--max-epochs", "2", "--run", "new"),
    "evaluate": ("evaluate", "--run", "popular"),
    "recommend": ("recommend", "--run", "popular", "--user", "0" * 63 + "1", "--output", "lists.jsonl"),
    "report": ("report", "--output", "report.html"),
    "recbole": ("export", "--to", "recbole", "--output", "recbole"),
    "sequences": ("export", "--to", "sequences", "--output", "sequences"),
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, shop):
    folder = tmp_path_factory.mktemp("full")
    for words in (
        ("preprocess", "hm", "--raw", str(shop)),
        ("train", "--model", "poprec", "--run", "popular"),
    ):
        main([*words, "--workspace", str(folder)])
    return folder


class Disk:
    """A disk that takes `left` more files."""

    def __init__(self, monkeypatch):
        self.left = float("inf")
        self._sync = artifacts._sync
        monkeypatch.setattr(artifacts, "_sync", self.sync)

    def sync(self, path):
        if path.is_file():
            if self.left <= 0:
                raise OSError(errno.ENOSPC, NO_SPACE)
            self.left -= 1
        self._sync(path)


def contents(folder):
    """The bytes of all files but locks and what names a moment."""
    moments = (".lock", "run.json", "log.jsonl", "test-readings.jsonl", "metrics.json", "report.html")
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in moments]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_goes_on_wherever_the_disk_was_full(tssr, workspace, shop, tmp_path, monkeypatch, command):
    words = [str(shop) if word == "SHOP" else word for word in COMMANDS[command]]
    disk = Disk(monkeypatch)
    shutil.copytree(workspace, tmp_path / "workspace")
    assert tssr(*words).code == 0
    whole = contents(tmp_path)
    for files in range(20):
        for path in tmp_path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(workspace, tmp_path / "workspace")
        disk.left = files
        failed = tssr(*words)
        disk.left = float("inf")
        if failed.code == 0:
            break
        assert failed.code == 1
        said = [line for line in failed.err.splitlines() if line.startswith("error: ")]
        assert len(said) == 1
        assert "is full; free space there, or write elsewhere" in said[0]
        assert ".partial" not in said[0]
        assert not list(tmp_path.rglob("*.partial*"))
        assert tssr(*words).code == 0, files
        assert contents(tmp_path) == whole
    assert files > 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.EDQUOT, "Disk quota exceeded"), errno.EDQUOT),
        (OSError("No space left on device (os error 28)"), errno.ENOSPC),
        (OSError("1024 requested and 512 written"), errno.ENOSPC),
        (RuntimeError("I/O error: No space left on device (os error 28)"), errno.ENOSPC),
        (OSError("no such thing"), None),
    ],
)
def test_what_the_system_said_is_read_from_the_words_of_a_library(error, code):
    assert system_code(error) == code


@on_linux
@pytest.mark.parametrize(
    "write",
    [
        lambda path: pl.DataFrame({"a": range(99999)}).write_ndjson(path),
        lambda path: pl.DataFrame({"a": range(99999)}).write_csv(path),
        lambda path: np.save(path, np.zeros(99999)),
        lambda path: write_index(path, np.ones((9, 2), np.float32), np.ones(9, np.float32), np.arange(1, 10)),
        lambda path: write_graphs(torch.nn.Linear(2, 2), {"input": torch.ones(2, 2)}, ["y"], path),
    ],
    ids=["polars json", "polars csv", "numpy", "faiss", "graph"],
)
def test_what_writes_by_itself_tells_that_the_disk_is_full(tmp_path, write):
    """FAISS left half a file without an error, and torch ended the process."""
    for name in ("file.npy", "file.pt2"):
        (tmp_path / name).symlink_to(FULL)
    path = tmp_path / "file.npy"
    with (
        pytest.raises(
            TssrError, match=r"could not write .*: the disk holding .*file\.npy is full; free space"
        ),
        os_errors_as_tssr(f"write {path}", path),
    ):
        write(path)


def test_a_file_that_is_renamed_with_others_is_told_by_its_own_name(tmp_path):
    def full():
        with atomic_path(tmp_path / "metrics.json") as outer, atomic_path(outer):
            raise OSError(errno.ENOSPC, NO_SPACE)

    with pytest.raises(
        TssrError, match=r"could not write \S*/metrics\.json: the disk holding \S*/metrics\.json is"
    ):
        full()


def test_a_line_is_appended_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "lines"
    append_line(path, "first")
    opened = Path.open

    def with_three_characters_left(self, *given, **kept):
        file = opened(self, *given, **kept)
        file.write("sec")
        file.close()
        raise OSError(errno.ENOSPC, NO_SPACE)

    monkeypatch.setattr(Path, "open", with_three_characters_left)
    with pytest.raises(TssrError, match=r"could not write .*lines: the disk .* is full"):
        append_line(path, "second")
    monkeypatch.undo()
    assert path.read_text() == "first\n"
    append_line(path, "second")
    assert path.read_text() == "first\nsecond\n"


@pytest.mark.parametrize("method", ["flush", "close"])
def test_curves_that_find_no_space_are_one_line(tmp_path, monkeypatch, method):
    def full(_self):
        raise OSError(errno.ENOSPC, NO_SPACE)

    monkeypatch.setattr(SummaryWriter, method, full)
    with (
        pytest.raises(TssrError, match=r"could not write the curves: the disk holding .*tensorboard is full"),
        RunLog(tmp_path, 0, tensorboard=True) as log,
    ):
        log.write({"step": 1, "loss": 2.0})


def test_a_checkpoint_that_finds_no_space_leaves_the_one_before(tssr, workspace, tmp_path, monkeypatch):
    """The second one fails; the same command goes on from the first, to the weights of an unbroken run."""
    shutil.copytree(workspace, tmp_path / "workspace")
    words = [*COMMANDS["train"][:-2], "--max-epochs", "3", "--run"]
    assert tssr(*words, "whole").code == 0
    written, saved = [], checkpoint.save_file

    def fills_up(tensors, path, **more):
        written.append(path)
        if sum("checkpoint" in str(each) for each in written) == 2:
            raise OSError(errno.ENOSPC, NO_SPACE)
        saved(tensors, path, **more)

    monkeypatch.setattr(checkpoint, "save_file", fills_up)
    failed = tssr(*words, "broken")
    assert "checkpoint.safetensors is full; free space there" in failed.err
    monkeypatch.setattr(checkpoint, "save_file", saved)
    again = tssr(*words, "broken")
    assert again.code == 0
    assert len((tmp_path / "workspace/runs/broken/log.jsonl").read_text().splitlines()) == 3
    weights = [(tmp_path / "workspace" / "runs" / run / "model.safetensors") for run in ("whole", "broken")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_an_error_that_nobody_expected_names_the_cure_all_the_same(tssr, workspace, tmp_path, monkeypatch):
    shutil.copytree(workspace, tmp_path / "workspace")

    def full(*_given, **_kept):
        raise OSError(errno.ENOSPC, NO_SPACE, "/some/where")

    monkeypatch.setattr(train_module, "load_dataset", full)
    failed = tssr("train", "--model", "poprec", "--run", "other")
    assert (failed.code, failed.err) == (
        1, "error: the disk holding /some/where is full; free space there, or write elsewhere\n"
    )  # fmt: skip
