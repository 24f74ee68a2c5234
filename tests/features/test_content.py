import os

import pyarrow as pa
import pytest

from tssr.core.errors import DataError
from tssr.features.content import content_key, read_picture, scan_pictures, scan_texts, source_stamp
from tssr.features.pictures import UnreachableFileError


def items(**columns):
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def reason(raw, path):
    with pytest.raises(UnreachableFileError) as caught:
        read_picture(raw, path)
    return caught.value.reason


def test_texts_are_keyed_by_their_bytes():
    texts = ["red shirt", None, "", " \t\n\u00a0\u3000", "red shirt", "👗", "a\x00b\x1b[0m", "x" * 1_000_000]
    content = scan_texts(items(text=texts))
    expected = [None if text is None or not text.strip() else content_key(text.encode()) for text in texts]
    assert content["key"].to_pylist() == expected
    assert expected.count(None) == 3
    assert content["reason"].to_pylist() == ["no text" if key is None else None for key in expected]


def test_pictures_are_keyed_by_their_bytes(tmp_path):
    for name in ("one.jpg", "two.jpg", "sub dir/ünï.code.v1.2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"other" if name == "two.jpg" else b"same")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    paths = [
        "one.jpg",
        "two.jpg",
        "sub dir/ünï.code.v1.2.jpg",
        "gone.jpg",
        None,
        "",
        "empty.jpg",
        "folder.jpg",
    ]
    content = scan_pictures(items(image=paths), tmp_path, None)
    same, other = content_key(b"same"), content_key(b"other")
    assert content["key"].to_pylist() == [same, other, same, *[None] * 5]
    assert content["reason"].to_pylist() == [
        *[None] * 3,
        "file missing",
        "no picture named",
        "no picture named",
        "empty file",
        "file not readable",
    ]


def test_a_missing_raw_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"the raw folder .*gone is missing; point --raw at"):
        scan_pictures(items(image=["a.jpg"]), tmp_path / "gone", None)


def test_unchanged_files_are_not_read_again(tmp_path, monkeypatch):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    before = scan_pictures(items(image=["a.jpg", "b.jpg", "c.jpg", "gone.jpg"]), tmp_path, None)
    (tmp_path / "b.jpg").write_bytes(b"new b")
    os.utime(tmp_path / "c.jpg", ns=(1, 1))
    read = []
    monkeypatch.setattr(
        "tssr.features.content.read_picture", lambda raw, path: read.append(path) or (raw / path).read_bytes()
    )
    after = scan_pictures(items(image=["new.jpg", "c.jpg", "b.jpg", "a.jpg"][1:]), tmp_path, before)
    assert sorted(read) == ["b.jpg", "c.jpg"]
    assert after["key"].to_pylist() == [content_key(b"c.jpg"), content_key(b"new b"), content_key(b"a.jpg")]


def test_nothing_outside_the_raw_folder_is_read(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    raw = tmp_path / "raw"
    (raw / "images").mkdir(parents=True)
    (raw / "images/up.jpg").symlink_to(tmp_path / "secret.jpg")
    (raw / "images/deep").symlink_to(tmp_path)
    (raw / "images/loop.jpg").symlink_to(raw / "images/loop.jpg")
    outside = "outside the raw folder"
    assert reason(raw, "images/up.jpg") == outside
    assert reason(raw, "images/deep/secret.jpg") == outside
    assert reason(raw, "../secret.jpg") == outside
    assert reason(raw, "images/../../secret.jpg") == outside
    assert reason(raw, str(tmp_path / "secret.jpg")) == outside
    assert reason(raw, "images/loop.jpg") == "file not readable"
    assert reason(raw, "images/nul\0.jpg") == "file not readable"


def test_the_whole_image_folder_may_be_a_link(tmp_path):
    (tmp_path / "big disk").mkdir()
    (tmp_path / "big disk/a.jpg").write_bytes(b"picture")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/images").symlink_to(tmp_path / "big disk")
    assert read_picture(tmp_path / "raw", "images/a.jpg") == b"picture"


def test_a_stamp_shows_changes_of_files_and_folders(tmp_path):
    assert source_stamp("resnet50") == []
    (tmp_path / "config.json").write_text("{}")
    before = source_stamp(str(tmp_path))
    assert source_stamp(str(tmp_path)) == before
    (tmp_path / "config.json").write_text("{1}")
    assert source_stamp(str(tmp_path)) != before
