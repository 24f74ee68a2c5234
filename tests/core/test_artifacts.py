import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tssr.core import artifacts
from tssr.core.artifacts import (
    atomic_folder,
    atomic_path,
    fingerprint,
    read_json,
    sha256_file,
    sweep_partials,
    write_json,
    write_text,
)
from tssr.core.errors import ArtifactError, TssrError

CURES = [
    (errno.ENOSPC, r"the disk holding .*file is full; free space there, or write elsewhere"),
    (errno.EDQUOT, r"the disk quota of .*file is used up; free space there"),
    (errno.EACCES, r"no permission for .*; check its owner and mode"),
    (errno.EROFS, r"is on a read-only disk; write elsewhere"),
    (errno.EIO, r"could not write .*file: Input/output error"),
]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_absent_until_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "file"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "half"
    assert names(path.parent) == ["file"]


def test_a_failure_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail_half_way():
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(("code", "words"), CURES)
def test_a_disk_that_refuses_is_one_line_with_the_cure(tmp_path, monkeypatch, code, words):
    path = tmp_path / "file"
    path.write_text("old")

    def refusing(self, *_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "write_text", refusing)
    with pytest.raises(TssrError, match=words) as caught:
        write_text(path, "new")
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_disk_that_is_full_only_at_the_sync_is_noticed(tmp_path, monkeypatch):
    def refusing(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifacts.os, "fsync", refusing)
    with pytest.raises(TssrError, match="is full"):
        write_text(tmp_path / "file", "new")
    assert names(tmp_path) == []


def test_a_parent_that_is_a_file_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TssrError, match=r"could not write .*inner"):
        write_text(tmp_path / "file" / "inner", "new")


def test_a_folder_replaces_the_old_one_whole(tmp_path):
    path = tmp_path / "folder"
    for content in ("old", "new"):
        with atomic_folder(path) as temporary:
            (temporary / "sub").mkdir()
            (temporary / "sub" / content).write_text(content)
    assert names(path / "sub") == ["new"]
    assert names(tmp_path) == ["folder"]


def test_a_failure_keeps_the_old_folder(tmp_path):
    path = tmp_path / "folder"
    with atomic_folder(path) as temporary:
        (temporary / "old").write_text("")

    def fail_half_way():
        with atomic_folder(path) as temporary:
            (temporary / "new").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["folder"]


def test_a_folder_on_a_full_disk_keeps_the_old_one(tmp_path):
    path = tmp_path / "file"
    with atomic_folder(path) as temporary:
        (temporary / "old").write_text("")
    with pytest.raises(TssrError, match="is full"), atomic_folder(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert names(path) == ["old"]


def test_a_folder_whose_swap_fails_puts_the_old_one_back(tmp_path, monkeypatch):
    path = tmp_path / "file"
    with atomic_folder(path) as temporary:
        (temporary / "old").write_text("")
    rename = Path.rename

    def refusing(self, target):
        if self.name.endswith(".partial") and target == path and ".old" not in self.name:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refusing)
    with pytest.raises(TssrError, match="Input/output error"), atomic_folder(path) as temporary:
        (temporary / "new").write_text("")
    assert names(path) == ["old"]
    assert names(tmp_path) == ["file"]


KILLED = """
import os, signal, sys
from pathlib import Path
from tssr.core.artifacts import atomic_folder, atomic_path
with {writer}(Path(sys.argv[1])) as temporary:
    ({target}).write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("writer", "target"), [("atomic_path", "temporary"), ("atomic_folder", "temporary / 'part'")]
)
def test_a_killed_writer_leaves_only_what_the_sweep_removes(tmp_path, writer, target):
    script = KILLED.format(writer=writer, target=target)
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "result")], check=False)
    (tmp_path / "other").write_text("mine")
    assert not (tmp_path / "result").exists()
    assert len(names(tmp_path)) == 2
    assert sweep_partials(tmp_path) == 1
    assert names(tmp_path) == ["other"]


def write_folder(path, text):
    with atomic_folder(path) as temporary:
        (temporary / "part").write_text(text)


def test_the_next_writer_of_a_folder_clears_away_what_a_killed_one_left(tmp_path):
    script = KILLED.format(writer="atomic_folder", target="temporary / 'part'")
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "result")], check=False)
    assert len(names(tmp_path)) == 1
    write_folder(tmp_path / "result", "whole")
    assert names(tmp_path) == ["result"]


def test_a_writer_that_lives_keeps_its_folder(tmp_path):
    with atomic_folder(tmp_path / "result") as temporary:
        (temporary / "part").write_text("slow")
        script = (
            "import sys; from pathlib import Path; from tssr.core.artifacts import atomic_folder\n"
            "with atomic_folder(Path(sys.argv[1])) as folder: (folder / 'part').write_text('fast')"
        )
        subprocess.run([sys.executable, "-c", script, str(tmp_path / "result")], check=True)
        assert (tmp_path / "result" / "part").read_text() == "fast"
    assert (tmp_path / "result" / "part").read_text() == "slow"
    assert names(tmp_path) == ["result"]


def test_a_folder_that_was_moved_aside_by_a_killed_writer_comes_back(tmp_path):
    write_folder(tmp_path / "result", "old")
    (tmp_path / "result").rename(tmp_path / ".result.1.old.partial")
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "result"):
        raise ZeroDivisionError
    assert (tmp_path / "result" / "part").read_text() == "old"
    assert names(tmp_path) == ["result"]


def test_what_a_killed_writer_of_a_like_name_left_is_not_taken_for_ones_own(tmp_path):
    write_folder(tmp_path / "hm.v2", "another's")
    (tmp_path / "hm.v2").rename(tmp_path / ".hm.v2.77.old.partial")
    write_folder(tmp_path / "hm", "mine")
    assert names(tmp_path) == [".hm.v2.77.old.partial", "hm"]
    write_folder(tmp_path / "hm.v2", "another's, again")
    assert names(tmp_path) == ["hm", "hm.v2"]


def test_sweeping_a_missing_folder_is_nothing(tmp_path):
    assert sweep_partials(tmp_path / "absent") == 0


def test_json_comes_back_and_keeps_every_letter(tmp_path):
    value = {"name": "Bücher 本", "list": [1, 2.5, None], "deep": {"a": True}}
    write_json(tmp_path / "j", value)
    assert read_json(tmp_path / "j", cure="x") == value
    assert "Bücher 本" in (tmp_path / "j").read_text(encoding="utf-8")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_what_json_has_not(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "j", {"ndcg": value})
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", r"j is damaged \(.*\); run this$"),
        (b"\xff\xfe", r"j is damaged \(.*\); run this$"),
        (b"[1]", r"j is damaged \(no JSON object\); run this$"),
        (b"[" * 100_000, r"j is damaged \(its values are nested too deeply\); run this$"),
        (None, r"j is missing; run this$"),
    ],
)
def test_a_bad_json_file_is_named_with_its_cure(tmp_path, content, words):
    if content is not None:
        (tmp_path / "j").write_bytes(content)
    with pytest.raises(ArtifactError, match=words):
        read_json(tmp_path / "j", cure="run this")


def test_sha256_is_the_known_one(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_file(tmp_path / "f").startswith("ba7816bf8f01cfea414140de5dae2223")
    with pytest.raises(TssrError, match=r"could not read .*absent"):
        sha256_file(tmp_path / "absent")


def test_fingerprints_know_values_not_key_order():
    value = {"b": 1, "a": {"y": [1, 2], "x": "é"}}
    assert fingerprint(value) == fingerprint(json.loads(json.dumps(value, sort_keys=True)))
    assert fingerprint(value) != fingerprint({**value, "b": 1.5})
    call = "fingerprint({'a': {'x': 'é', 'y': [1, 2]}, 'b': 1})"
    script = f"from tssr.core.artifacts import fingerprint; print({call})"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == fingerprint(value)
