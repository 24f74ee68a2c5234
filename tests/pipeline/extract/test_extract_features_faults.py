"""Kills, locks, full disks: nothing lost, nothing half-trusted."""

import errno
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from tssr.core import lock
from tssr.core.errors import TssrError
from tssr.core.lock import exclusive
from tssr.core.settings import resolve
from tssr.features import encoding, parts
from tssr.features.encoder import ContentEncoder
from tssr.features.settings import FeatureSettings
from tssr.features.store import list_stores, open_store
from tssr.features.text_encoder import Tokens
from tssr.pipeline.extract import fill_store
from tssr.pipeline.extract.stage import extract_features

PART_ROWS = 5
TEXTS = [f"{'red blue old '[: 4 * (n % 4)]}{'abcdefgh'[n % 8]}{'ijklmno'[n % 7]}" for n in range(56)]
MOMENTS = 20


class LetterTokenizer:
    pad_token_id = 0

    def __call__(self, texts, truncation, max_length):
        return {"input_ids": [[ord(letter) for letter in text[:max_length]] for text in texts]}


class Moments(torch.nn.Module):
    """Vectors from sums: no thread pool, so that a forked child can compute them."""

    def forward(self, ids, mask):
        return torch.stack([(ids * mask).float().pow(power).sum(1) for power in (0.5, 1.0, 1.5)], dim=1)


@pytest.fixture(autouse=True)
def tiny_encoder(monkeypatch):
    """An encoder that costs nothing, and parts of five texts."""
    encoder = ContentEncoder("tiny", 3, {"weights": "none"}, Tokens(LetterTokenizer(), 12), Moments())
    monkeypatch.setattr("tssr.features.loading.load_encoder", lambda choice: encoder)
    monkeypatch.setattr(parts, "PART_ROWS", PART_ROWS)


@pytest.fixture
def workspace(make_catalogue):
    return make_catalogue(texts=TEXTS)[0]


def run(workspace):
    return extract_features(workspace, resolve(FeatureSettings, {"modality": ("text",), "batch_size": 2}))


def files(workspace):
    folder = workspace.features("catalogue")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def steps(folder, on_step):
    """Call `on_step` at every opening, renaming and removing of a file in `folder`."""

    def hook(event, arguments):
        if event in ("open", "os.rename", "os.remove", "os.mkdir") and str(arguments[0]).startswith(folder):
            on_step()

    sys.addaudithook(hook)


def run_and_die(workspace, step, delay, count):
    """In a process of its own: run, and be killed `delay` seconds after the given step."""

    def die():
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGKILL)

    def on_step():
        count.value += 1
        if count.value == step:
            threading.Thread(target=die).start()

    steps(str(workspace.root / "features"), on_step)
    run(workspace)


@pytest.fixture
def run_in_child(workspace, fork):
    """`run_in_child(step=3)`: the exit code of a run that is killed at a step, and how many steps it took."""

    def run_it(step=0, delay=0.0):
        count = multiprocessing.Value("i", 0, lock=False)
        child = fork(run_and_die, workspace, step, delay, count)
        child.join()
        return child.exitcode, count.value

    return run_it


def test_killed_at_twenty_moments_a_rerun_encodes_the_rest_to_the_same_bytes(workspace, run_in_child):
    code, total = run_in_child()
    assert code == 0
    unbroken = files(workspace)
    assert len([name for name in unbroken if "part-" in name]) == 12
    dice = random.Random(0)
    kept = set()
    for moment in range(MOMENTS):
        shutil.rmtree(workspace.root / "features")
        step = 1 + moment * (total - 1) // (MOMENTS - 1)
        code, _ = run_in_child(step, delay=dice.random() * 0.003)
        assert code in (0, -signal.SIGKILL)
        for info in list_stores(workspace.features("catalogue")):  # a reader sees a whole store or none
            open_store(info).item_features()
        left = {path: path.stat().st_mtime_ns for path in workspace.root.glob("features/*/*/part-*")}
        kept.add(len(left))
        summary = run(workspace)
        assert files(workspace) == unbroken
        assert summary.data["stores"][0]["encoded"] == max(0, len(TEXTS) - PART_ROWS * len(left))
        assert {path: path.stat().st_mtime_ns for path in left} == left
    assert len(kept) > 6  # the kills came at different times


def run_as_rank(workspace, rank, killed_part):
    """In a process of its own: run as one process of a torchrun; optionally die at a part of one's share."""
    write_part = encoding.write_part

    def perhaps_die(folder, number, *rest):
        if number == killed_part:
            os.kill(os.getpid(), signal.SIGKILL)
        return write_part(folder, number, *rest)

    encoding.write_part = perhaps_die
    summary = run(workspace)
    assert bool(summary.rows) == (rank == 0)
    # What comes next in the same command reads the store, in this process too.
    assert len(list_stores(workspace.features("catalogue"))) == 1


@pytest.fixture
def run_ranks(workspace, fork, as_rank):
    """`run_ranks(3)`: run as three processes, all ended when one dies, as torchrun does; the exit codes."""

    def wait_for_part(number):
        """Let the others finish what they have begun: this part belongs to another process."""
        while not any(workspace.root.glob(f"features/*/*/part-{number:05}*.arrow")):
            time.sleep(0.02)

    def run(world, killed_part=None):
        met = as_rank(lambda rank: run_as_rank(workspace, rank, killed_part), world)
        ranks = [fork(met, rank) for rank in range(world)]
        while any(rank.is_alive() for rank in ranks):
            if any(rank.exitcode for rank in ranks):
                if killed_part is not None:
                    wait_for_part(killed_part + 1)
                for rank in ranks:
                    rank.terminate()
            time.sleep(0.02)
        return [rank.exitcode for rank in ranks]

    return run


@pytest.mark.parametrize("world", [2, 3])
def test_any_number_of_processes_makes_the_same_bytes(workspace, world, run_ranks):
    run(workspace)
    alone = files(workspace)
    shutil.rmtree(workspace.root / "features")
    assert run_ranks(world) == [0] * world
    assert files(workspace) == alone
    assert run_ranks(world) == [0] * world  # nothing to do, and nobody waits
    assert files(workspace) == alone


def test_all_processes_wait_for_the_one_that_writes_the_manifest(run_ranks, monkeypatch):
    def slowly(*arguments):
        time.sleep(0.5)
        return commit(*arguments)

    commit = fill_store.commit
    monkeypatch.setattr(fill_store, "commit", slowly)
    assert run_ranks(2) == [0, 0]


def test_a_dead_process_leaves_a_hole_that_a_rerun_fills(workspace, run_ranks):
    run(workspace)
    alone = files(workspace)
    shutil.rmtree(workspace.root / "features")
    assert -signal.SIGKILL in run_ranks(3, killed_part=4)
    left = [path.name[:10] for path in workspace.root.glob("features/*/*/part-*")]
    assert "part-00004" not in left
    assert "part-00005" in left  # another process's
    assert not list_stores(workspace.features("catalogue"))
    assert run_ranks(2) == [0, 0]
    assert files(workspace) == alone


HOLDER = """
import sys, time
from pathlib import Path
from tssr.core.lock import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_says_who_holds_the_store_and_a_dead_holder_holds_nothing(
    tmp_path, monkeypatch, program
):
    said = []

    def heard(line):
        said.append(line)
        holder.kill()

    monkeypatch.setattr(lock, "note", heard)
    folder = tmp_path / "image-store"
    holder = program("-c", HOLDER, folder, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with exclusive(folder):
        assert holder.wait() == -signal.SIGKILL
    (line,) = said
    assert line.startswith(f"image-store is being written by process {holder.pid} on ")
    assert line.endswith("waiting for it to finish")
    with exclusive(folder):
        assert len(said) == 1
        assert f"process {os.getpid()} on" in (folder / ".lock").read_text()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, r"the disk holding .*part-00003-.* is full; free space"),
        (errno.EROFS, r"on a read-only disk; write elsewhere"),
    ],
)
def test_a_disk_that_fails_costs_only_the_current_part(workspace, monkeypatch, code, words):
    write = Path.write_bytes

    def fail_late(path, data):
        if "part-00003" in path.name:
            write(path, data[:10])
            raise OSError(code, os.strerror(code), str(path))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fail_late)
    with pytest.raises(TssrError, match=words):
        run(workspace)
    monkeypatch.setattr(Path, "write_bytes", write)
    left = sorted(path.name for path in workspace.root.glob("features/*/*/*"))
    assert [name[:10] for name in left if "part" in name] == ["part-00000", "part-00001", "part-00002"]
    assert not list_stores(workspace.features("catalogue"))
    assert run(workspace).data["stores"][0]["encoded"] == len(TEXTS) - 3 * PART_ROWS


def test_a_folder_that_cannot_be_made_is_one_line(workspace):
    (workspace.root / "features").write_text("a file in the way")
    with pytest.raises(TssrError, match=r"could not lock .*: .*features.* is not a folder|could not lock"):
        run(workspace)


def test_ctrl_c_keeps_what_is_finished(workspace, monkeypatch):
    write_part = encoding.write_part

    def interrupted(folder, number, *rest):
        if number == 4:
            raise KeyboardInterrupt
        return write_part(folder, number, *rest)

    monkeypatch.setattr(encoding, "write_part", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(workspace)
    monkeypatch.setattr(encoding, "write_part", write_part)
    assert run(workspace).data["stores"][0]["encoded"] == len(TEXTS) - 4 * PART_ROWS


@pytest.mark.parametrize(
    "victim", ["part-00002-*.arrow", "items.parquet", "manifest.json", "content.parquet"]
)
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_any_damaged_file_is_mended_to_the_same_bytes(workspace, victim, damage, capsys):
    run(workspace)
    unbroken = files(workspace)
    (path,) = workspace.root.glob(f"features/*/*/{victim}")
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 3] ^= 4
        path.write_bytes(data)
    summary = run(workspace)
    assert files(workspace) == unbroken
    part = victim.startswith("part")
    assert summary.data["stores"][0]["encoded"] == (PART_ROWS if part else 0)
    assert ("do not match" in capsys.readouterr().err) == (part and damage != "gone")


def test_a_path_with_a_comma_is_one_path(tssr, make_catalogue, monkeypatch):
    make_catalogue(texts=TEXTS)
    asked = []
    monkeypatch.setattr("tssr.features.loading.load_encoder", lambda choice: asked.append(choice) or 1 / 0)
    text = ("--modality", "text", "--encoder", "./a,b", "--weights", "w,1.pth")
    assert tssr("extract-features", *text).code == 1
    assert [(choice.encoder, choice.weights) for choice in asked] == [("./a,b", "w,1.pth")]


class Constant(torch.nn.Module):
    """Vectors that tell nothing."""

    def forward(self, ids, mask):
        return torch.ones(len(ids), 3)


def test_vectors_that_are_all_equal_leave_no_store(workspace, monkeypatch):
    useless = ContentEncoder("constant", 3, {"weights": "bad"}, Tokens(LetterTokenizer(), 12), Constant())
    monkeypatch.setattr("tssr.features.loading.load_encoder", lambda choice: useless)
    for _ in range(2):  # also when all is encoded already
        with pytest.raises(TssrError, match=r"text-constant-\w+ are nearly all equal, as those of"):
            run(workspace)
    assert list_stores(workspace.features("catalogue")) == []


def test_gpu_memory_that_runs_out_names_the_setting(workspace, monkeypatch):
    def too_much(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(Moments, "forward", too_much)
    with pytest.raises(TssrError, match=r"^out of GPU memory encoding texts; lower --batch-size \(now 2\)$"):
        run(workspace)
