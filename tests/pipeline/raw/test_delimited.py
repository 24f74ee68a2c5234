import contextlib
import csv
import gzip
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tssr.core.errors import DataError
from tssr.pipeline.raw import blocks
from tssr.pipeline.raw.delimited import read_delimited
from tssr.pipeline.raw.files import RawFile
from tssr.pipeline.raw.problems import Problems


def read(path, wanted=("a", "b"), *, strict=False, **options):
    problems = Problems(strict=strict)
    rows = []
    for part in read_delimited(RawFile(path), wanted, problems, **options):
        rows += zip(*(part.columns[name].to_pylist() for name in wanted), part.lines(), strict=True)
    return rows, problems


def written(tmp_path, data, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize(
    "data",
    [
        b"a,b,c\n1,x,0\n2,y,0\n",
        b"a,b,c\r\n1,x,0\r\n2,y,0\r\n",
        b"\xef\xbb\xbfa,b,c\n1,x,0\n2,y,0",
        b'c,b,a\n0,"x",1\n0,"y",2\n',
        b" a ,b,c\n1,x,0\n2,y,0\n",
    ],
)
def test_line_ends_marks_and_quotes(tmp_path, data):
    rows, problems = read(written(tmp_path, data))
    assert rows == [("1", "x", 2), ("2", "y", 3)]
    assert problems.lines() == []


def test_lines_are_right_after_a_field_with_line_breaks_and_a_blank_line(tmp_path):
    rows, _ = read(written(tmp_path, 'a,b\n1,"x\ny"\n\n2,"say ""hi"""\n'))
    assert rows == [("1", "x\ny", 2), ("2", 'say "hi"', 5)]


def test_malformed_rows_are_counted_and_one_of_each_reason_is_shown(tmp_path):
    data = b"a,b\n1,x\n2\n3,y,z\n4,\xff\n5,\0\n6,w\n"
    rows, problems = read(written(tmp_path, data))
    assert rows == [("1", "x", 2), ("6", "w", 7)]
    assert problems.malformed == 4
    assert problems.lines() == [
        "4 malformed rows dropped: t.csv, line 3: has 1 fields, expected 2; "
        "t.csv, line 5: is not UTF-8; t.csv, line 6: holds a NUL byte (66.7 % of t.csv)"
    ]


def test_strict_stops_at_the_first(tmp_path):
    with pytest.raises(DataError, match=r"t\.csv, line 3: has 1 fields, expected 2 .*leave out --strict"):
        read(written(tmp_path, "a,b\n1,x\n2\n"), strict=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"t\.csv is empty"),
        (b"a,c\n1,2\n", r"t\.csv has no column 'b'; it has a, c"),
        (b"a," + b"c" * 5000 + b"\n1,2\n", rf"t\.csv has no column 'b'; it has a, {'c' * 40}…$"),
        (b"c," * 99 + b"c\n", rf"t\.csv has no column 'a'; it has {'c, ' * 29}c and 70 more$"),
        (b"a;b\n1;2\n", r"no column 'a'; it has a;b; it looks separated by semicolons"),
        (b"a,b,a\n1,2,3\n", r"t\.csv, line 1: column 'a' occurs 2 times"),
        ("a,b\n".encode("utf-16"), r"t\.csv is UTF-16 text; save it as UTF-8"),
        (b"a\0,b\n", r"t\.csv, line 1: the header is not plain UTF-8 text"),
        (b"\xff,b\n", r"t\.csv, line 1: the header is not plain UTF-8 text"),
    ],
)
def test_files_that_cannot_be_meant(tmp_path, data, message):
    with pytest.raises(DataError, match=message):
        read(written(tmp_path, data))


def test_a_column_nobody_wants_may_occur_twice(tmp_path):
    assert read(written(tmp_path, "a,c,b,c\n1,2,3,4\n"))[0] == [("1", "3", 2)]


def test_a_cut_gz_is_named_with_the_line(tmp_path):
    lines = "a,b\n" + "".join(f"{number},{number * number}\n" for number in range(5000))
    path = written(tmp_path, gzip.compress(lines.encode())[:-2000], "t.csv.gz")
    with pytest.raises(
        DataError, match=r"t\.csv\.gz: damaged or cut off somewhere after line \d+ .*download it again"
    ):
        read(path)
    with pytest.raises(
        DataError, match=r"no\.csv\.gz: damaged or cut off somewhere after line 0 \(Not a gzipped file"
    ):
        read(written(tmp_path, b"a,b\n", "no.csv.gz"))


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 64)
    monkeypatch.setattr(blocks, "LONGEST_LINE", 1000)
    with pytest.raises(DataError, match=r"line 3: is longer than 0 MiB"):
        read(written(tmp_path, "a,b\n1,x\n2," + "y" * 2000))


def test_a_quote_that_is_never_closed_costs_its_row_in_files_of_any_size(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 64)
    monkeypatch.setattr(blocks, "LONGEST_ROW", 500)
    text = "a,b\n1,x\n" + '2,"y\n' + "".join(f"{n},z\n" for n in range(3, 900))
    rows, problems = read(written(tmp_path, text))
    assert [row[0] for row in rows] == [str(n) for n in range(1, 900) if n != 2]
    assert problems.examples == ["t.csv, line 3: has a quote within a field, or one that is never closed"]


def test_a_header_that_comes_again_is_counted(tmp_path):
    rows, problems = read(written(tmp_path, "a,b\n1,x\na,b\na,c\n2,y\n"))
    assert rows == [("1", "x", 2), ("a", "c", 4), ("2", "y", 5)]
    assert problems.examples == ["t.csv, line 3: repeats the header"]


@pytest.mark.parametrize(("start", "kind"), [(b"\x1f\x8b\x08", "gzip"), (b"PK\x03\x04", "zip")])
def test_a_compressed_file_of_another_name_is_told(tmp_path, start, kind):
    with pytest.raises(DataError, match=rf"t\.csv is compressed by {kind} whatever its name says"):
        read(written(tmp_path, start + b"anything"))


def test_tabs_where_commas_are_wanted_are_told(tmp_path):
    with pytest.raises(DataError, match=r"t\.csv has no column 'a'; .*; it looks separated by tabs"):
        read(written(tmp_path, "a\tb\n1\tx\n"))


FIELDS = st.text(st.sampled_from('ab,"\n\r é\t;'), max_size=6)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(FIELDS, FIELDS), max_size=12), st.integers(16, 64))
def test_any_table_comes_back_whatever_the_size_of_the_blocks(tmp_path_factory, table, size):
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("a", "b"), *table])
    path = written(tmp_path_factory.mktemp("csv"), text.getvalue())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", size)
        rows, problems = read(path)
    assert [row[:2] for row in rows] == table
    assert problems.malformed == 0
    assert [row[2] for row in rows] == sorted({row[2] for row in rows})


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_give_rows_or_one_line(tmp_path_factory, data):
    path = written(tmp_path_factory.mktemp("csv"), b"a,b\n" + data)
    with contextlib.suppress(DataError):
        rows, _ = read(path)
        assert all(isinstance(value, str) for row in rows for value in row[:2])


def test_a_lone_carriage_return_ends_no_row(tmp_path):
    rows, problems = read(written(tmp_path, b"a,b\n1,x\r2,y\n3,z\n"))
    assert rows == [("3", "z", 3)]
    assert "line 2: has a carriage return within the row" in problems.lines()[0]


def test_a_lone_carriage_return_beside_a_malformed_row(tmp_path):
    rows, problems = read(written(tmp_path, b"a,b\n1,x\n2,y\rz\n3\n4,w\n"))
    assert rows == [("1", "x", 2), ("4", "w", 5)]
    assert "line 3: has a carriage return within the row" in problems.lines()[0]


def test_a_word_that_begins_like_an_archive_is_a_word(tmp_path):
    assert read(written(tmp_path, "BZha,b\n1,x\n"), ("BZha", "b"))[0] == [("1", "x", 2)]
