import gzip
import io
import os
import tarfile
import zipfile
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tssr.core.errors import DataError, TssrError
from tssr.pipeline.raw import unpack
from tssr.pipeline.raw.blocks import read_blocks
from tssr.pipeline.raw.files import RawFile, RawFolder
from tssr.pipeline.raw.unpack import unpack_pictures


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def tarred(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            if data is None:
                entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            entry.size = len(data or b"")
            archive.addfile(entry, io.BytesIO(data or b""))


def find(folder, name):
    return RawFolder(folder, "hm", (), "").find_optional(name)


@pytest.mark.parametrize(
    ("archive", "write"),
    [
        ("a.zip", zipped),
        ("a.tar", tarred),
        ("a.tgz", lambda path, files: tarred(path, files, "w:gz")),
        ("a.tar.gz", lambda path, files: tarred(path, files, "w:gz")),
    ],
)
def test_a_table_is_read_in_place_also_when_it_is_compressed_again(tmp_path, archive, write):
    write(tmp_path / archive, {"deep/t.csv": b"a\n", "u.csv.gz": gzip.compress(b"b\n")})
    found = [find(tmp_path, name) for name in ("t.csv", "u.csv")]
    assert [next(read_blocks(file)).data for file in found] == [b"a\n", b"b\n"]
    assert str(found[0]) == f"{archive}:deep/t.csv"
    assert found[1].kind == "csv"
    assert find(tmp_path, "csv") is None
    assert list(tmp_path.iterdir()) == [tmp_path / archive]


def test_damaged_archives(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK nonsense")
    with pytest.raises(DataError, match=r"a\.zip: damaged or no archive .*download it again"):
        find(tmp_path, "t.csv")
    (tmp_path / "a.zip").unlink()
    tarred(tmp_path / "b.tgz", {"t.csv": b"x" * 100_000}, "w:gz")
    whole = (tmp_path / "b.tgz").read_bytes()
    (tmp_path / "b.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"b\.tgz: damaged or no archive"):
        find(tmp_path, "t.csv")


def test_a_zip_whose_bytes_are_wrong_is_found_while_reading(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("t.csv", b"abc\n" * 100)
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace(b"abc\n", b"abd\n", 1))
    with pytest.raises(DataError, match=r"a\.zip: damaged or no archive \(Bad CRC"):
        list(read_blocks(find(tmp_path, "t.csv")))


@pytest.mark.parametrize("write", [zipped, tarred])
def test_only_pictures_of_the_folder_are_unpacked(tmp_path, write):
    name = "a.zip" if write is zipped else "a.tar"
    files = {"top/images/01/x.jpg": b"1", "images/y.PNG": b"2", "images/z.exe": b"3", "other/w.jpg": b"4"}
    write(tmp_path / name, files)
    unpack_pictures(tmp_path, "images")
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("images/**/*.*")}
    assert found == {"images/01/x.jpg": b"1", "images/y.PNG": b"2"}
    (tmp_path / "images" / "y.PNG").unlink()
    unpack_pictures(tmp_path, "images")
    assert not (tmp_path / "images" / "y.PNG").exists()


@pytest.mark.parametrize("name", ["images/../../x.jpg", "/images/x.jpg", "images\\..\\x.jpg"])
def test_paths_that_leave_the_folder_are_refused(tmp_path, name):
    tarred(tmp_path / "a.tar", {"images/ok.jpg": b"1", name: b"2"})
    with pytest.raises(DataError, match=r"a\.tar: the path .* leaves the folder; do not trust this archive"):
        unpack_pictures(tmp_path, "images")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_links_and_giants_stay_in_the_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "LARGEST_PICTURE", 10)
    tarred(tmp_path / "a.tar", {"images/link.jpg": None, "images/big.jpg": b"x" * 11, "images/ok.jpg": b"1"})
    unpack_pictures(tmp_path, "images")
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["ok.jpg"]


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "SPARE", 1 << 60)
    zipped(tmp_path / "a.zip", {"images/x.jpg": b"1"})
    with pytest.raises(
        TssrError, match=r"the pictures .* take .* MiB and the disk of .* has .* MiB free; unpack them elsew"
    ):
        unpack_pictures(tmp_path, "images")
    assert not (tmp_path / "images").exists()


def test_a_locked_zip(tmp_path):
    zipped(tmp_path / "a.zip", {"t.csv": b"a\n"})
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[6] |= 1  # the flag of encryption, in the local header and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.zip: .*password required.*; unpack it by hand"):
        list(read_blocks(find(tmp_path, "t.csv")))


NAME = b"\xc3\xbc.csv"
VERSION = b"PK\x01\x02\x14\x03\x14"  # in the table of a zip: made by 2.0 on Unix, 2.0 is needed


def far_away(data):
    """The table says that the file begins at byte 2^64 - 1, as zip64 can."""
    data = bytearray(data)
    table, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    data[end + 12 : end + 16] = (end - table + 12).to_bytes(4, "little")
    data[table + 30 : table + 32] = (12).to_bytes(2, "little")
    data[table + 42 : table + 46] = b"\xff" * 4
    data[end:end] = b"\x01\0\x08\0" + b"\xff" * 8
    return bytes(data)


DAMAGES = {
    "a name that is no UTF-8": lambda data: data.replace(NAME, b"\xff\xbc.csv"),
    "a name that is no UTF-8 beside the file alone": lambda data: data.replace(NAME, b"\xff\xbc.csv", 1),
    "a place beyond all files": far_away,
    "a version that does not exist": lambda data: data.replace(VERSION, VERSION[:-1] + b"\xff"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_zip_with_a_damaged_table(tmp_path, damage):
    zipped(tmp_path / "a.zip", {NAME.decode(): b"a\n"})
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(damage(data))
    assert (tmp_path / "a.zip").read_bytes() != data
    with pytest.raises(DataError, match=r"a\.zip: damaged or no archive .*download it again"):
        list(read_blocks(find(tmp_path, NAME.decode())))


def test_a_nameless_entry_of_a_zip_is_no_table(tmp_path):
    zipped(tmp_path / "a.zip", {"name.csv": b"a\n", "t.csv": b"b\n"})
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace(b"name.csv", b"\0ame.csv"))  # a name ends at a NUL
    assert next(read_blocks(find(tmp_path, "t.csv"))).data == b"b\n"


def test_a_zip_packed_with_lzma_that_is_damaged(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("t.csv", os.urandom(1000))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[44:60] = b"\xff" * 16  # behind the dictionary's size, which would be asked for in full
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.zip: damaged or no archive"):
        list(read_blocks(find(tmp_path, "t.csv")))


def test_pictures_of_a_damaged_bzip2_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("images/1.jpg", os.urandom(1000))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[60:90] = b"\xff" * 30
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.zip: images/1\.jpg cannot be read \(Invalid data stream\)"):
        unpack_pictures(tmp_path, "images")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def packed(write, files, path):
    """The bytes of an archive."""
    write(path, files)
    data = path.read_bytes()
    path.unlink()
    return data


def tgz(path, files):
    tarred(path, files, "w:gz")


INNER = {"zip": zipped, "tar": tarred, "tgz": tgz}
EDITS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4)


@pytest.mark.parametrize(("name", "write"), [("a.zip", zipped), ("a.tar", tarred)])
def test_no_damage_ends_in_a_traceback(tmp_path, name, write):
    files = {"deep/t.csv": b"user,item\n" * 50, "\u00fc" * 60 + ".csv": b"x\n", "images/1.jpg": b"abc" * 30}
    files |= {f"inner.{kind}": packed(way, files, tmp_path / "x") for kind, way in INNER.items()}
    write(tmp_path / name, files)
    whole = (tmp_path / name).read_bytes()

    @settings(max_examples=int(os.environ.get("TSSR_FUZZ", "100")), deadline=timedelta(seconds=60))
    @given(EDITS)
    def try_it(edits):
        data = bytearray(whole)
        for place, byte in edits:
            data[int(place * len(data))] = byte
        (tmp_path / name).write_bytes(data)
        with suppress(TssrError):
            for table in ("t.csv", "\u00fc" * 60 + ".csv", *(f"inner.{kind}/deep/t.csv" for kind in INNER)):
                file = find(tmp_path, table)
                list(read_blocks(file) if file else ())

    try_it()


def test_pictures_of_several_archives_come_together(tmp_path):
    zipped(tmp_path / "a.zip", {"images/x.jpg": b"1", "__MACOSX/images.txt": b""})
    zipped(tmp_path / "b.zip", {"deep/images/y.jpg": b"2"})
    unpack_pictures(tmp_path, "images")
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["x.jpg", "y.jpg"]


def test_the_least_deep_file_of_a_name_is_taken(tmp_path):
    names = ("__MACOSX/t.csv", "a/old/t.csv", "a/t.csv")
    zipped(tmp_path / "a.zip", {name: name.encode() for name in names})
    assert RawFolder(tmp_path, "hm", (), "").find_optional("t.csv").member == "a/t.csv"


def test_a_file_where_a_folder_is_wanted_is_told(tmp_path):
    zipped(tmp_path / "a.zip", {"t.csv": b""})
    assert "a.zip is a file; name the folder that it lies in" in str(
        RawFolder(tmp_path / "a.zip", "hm", (), "").wrong("x")
    )


def test_another_archive_that_is_broken_costs_no_picture(tmp_path, capsys):
    zipped(tmp_path / "a.zip", {"images/x.jpg": b"1"})
    zipped(tmp_path / "a-copy.zip", {"images/x.jpg": b"1"})
    (tmp_path / "z.zip").write_bytes(b"half")
    unpack_pictures(tmp_path, "images")
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["x.jpg"]
    said = capsys.readouterr().err
    assert "unpacking 1 pictures from a-copy.zip" in said
    assert "z.zip: damaged or no archive" in said


def test_a_broken_archive_that_may_hold_the_pictures_is_an_error(tmp_path):
    zipped(tmp_path / "a.zip", {"readme.txt": b"1"})
    (tmp_path / "z.zip").write_bytes(b"half")
    with pytest.raises(DataError, match=r"z\.zip: damaged or no archive"):
        unpack_pictures(tmp_path, "images")


TABLE = b"user,item\n" * 200


@pytest.mark.parametrize("inner", [zipped, tarred, tgz])
@pytest.mark.parametrize("outer", [zipped, tarred, tgz])
@pytest.mark.parametrize("name", ["inner.tgz", "inner.json", "a/b/inner"])
def test_an_archive_in_an_archive_is_read_in_place(tmp_path, outer, inner, name):
    files = {"deep/t.csv": TABLE, "images/1.jpg": b"picture"}
    data = packed(inner, files, tmp_path / "x")
    outer(tmp_path / "a.zip", {"readme.txt": b"r" * 600, name: data})
    file = find(tmp_path, "t.csv")
    assert str(file) == f"a.zip:{name}/deep/t.csv"
    assert b"".join(block.data for block in read_blocks(file)) == TABLE
    unpack_pictures(tmp_path, "images")
    assert (tmp_path / "images" / "1.jpg").read_bytes() == b"picture"


@pytest.mark.parametrize("write", [zipped, tarred, tgz])
@pytest.mark.parametrize("inside", ["t.json", "other.json", "deep/t.json"])
def test_an_archive_under_the_name_of_its_table(tmp_path, write, inside):
    write(tmp_path / "t.json", {inside: TABLE})
    file = find(tmp_path, "t.json")
    assert str(file) == f"t.json:{inside}"
    assert b"".join(block.data for block in read_blocks(file)) == TABLE


def test_an_archive_without_a_suffix_and_one_with_a_wrong_one(tmp_path):
    tarred(tmp_path / "yelp_dataset", {"t.json": TABLE})
    assert str(find(tmp_path, "t.json")) == "yelp_dataset:t.json"
    (tmp_path / "yelp_dataset").unlink()
    tarred(tmp_path / "a.zip", {"t.json": TABLE})
    assert str(find(tmp_path, "t.json")) == "a.zip:t.json"


def test_archives_within_one_another_without_end(tmp_path):
    data = packed(zipped, {"t.csv": TABLE}, tmp_path / "x")
    for _ in range(5):
        data = packed(zipped, {"more.zip": data + b"\0" * 600}, tmp_path / "x")
    (tmp_path / "bomb.zip").write_bytes(data)
    assert find(tmp_path, "t.csv") is None


def test_a_damaged_archive_in_an_archive_costs_nothing_else(tmp_path):
    broken = packed(tarred, {"u.csv": TABLE}, tmp_path / "x")
    zipped(tmp_path / "a.zip", {"b.tar": broken[:300] + b"\xff" * 500, "c.zip": b"n" * 600, "t.csv": TABLE})
    assert str(find(tmp_path, "t.csv")) == "a.zip:t.csv"


def test_a_tar_that_a_person_names_as_a_table_is_told(tmp_path):
    tarred(tmp_path / "log.csv", {"t.csv": TABLE})
    with pytest.raises(DataError, match=r"log\.csv is a tar archive whatever its name says; unpack it"):
        next(read_blocks(RawFile(tmp_path / "log.csv")))
