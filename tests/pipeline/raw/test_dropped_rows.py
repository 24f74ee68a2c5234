"""Rows that are dropped: their share of the file, where it stops, and the encoding that would have helped."""

import json

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
import pytest

from tssr.core.errors import DataError, UsageError
from tssr.pipeline.preprocess.settings import PreprocessSettings
from tssr.pipeline.raw.delimited import read_delimited
from tssr.pipeline.raw.encodings import as_utf_8, not_utf_8
from tssr.pipeline.raw.files import RawFile
from tssr.pipeline.raw.jsonlines import read_json_lines
from tssr.pipeline.raw.parquet import read_parquet
from tssr.pipeline.raw.problems import Problems, Reason

MAP = "user=user,item=item,time=time"


def log(*times, user="u"):
    return "user,item,time\n" + "".join(f"{user},i{place},{time}\n" for place, time in enumerate(times))


@pytest.fixture
def custom(read, tmp_path):
    """Read a log as the command line does, without --allow-loss unless asked."""

    def run(text, name="log.csv", **settings):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        options = {"interactions": tmp_path / name, "map": MAP, "allow_loss": False, **settings}
        return read("custom", **options)

    return run


@pytest.mark.parametrize(("bad", "stops"), [(0, False), (1, False), (5, False), (6, True), (100, True)])
def test_five_percent_of_a_file_may_go_for_one_reason(custom, bad, stops):
    text = log(*["soon"] * bad, *range(100 - bad))
    if stops:
        with pytest.raises(DataError) as caught:
            custom(text)
        words = (
            "log.csv has no actions" if bad == 100 else f"{bad} of 100 rows ({bad}.0 %) of log.csv would be"
        )
        assert words in str(caught.value)
        assert "line 2: time 'soon' is neither" in str(caught.value)
    else:
        found = custom(text)
        assert len(found.actions) == 100 - bad
        assert not bad or found.problems[0].endswith(f"({bad}.0 % of log.csv)")


def test_the_reason_that_drops_most_is_shown_though_other_rows_come_first(custom):
    rows = [",i,1"] * 4 + ["u,i,soon"] * 9
    with pytest.raises(DataError, match=r"13 malformed rows dropped: log\.csv, line 6: time 'soon' .*; fill"):
        custom("user,item,time\n" + "\n".join(rows))


def test_each_reason_is_shown_once_before_any_is_shown_again():
    problems = Problems()
    for line, words in enumerate(["has no item", "has no item", "has no item", "is late", "has no user"]):
        problems.row("t.csv", line, words)
    shown = ["t.csv, line 0: has no item", "t.csv, line 3: is late", "t.csv, line 4: has no user"]
    assert problems.examples == shown


@pytest.mark.parametrize("sign", [";", "\t", "|"])
@pytest.mark.parametrize("name", ["log.csv", "log.tsv"])
def test_another_separator_is_told_by_the_header_of_log_and_items(custom, tmp_path, sign, name):
    items = [("item", "name", "price"), ("i0", "Tea, green", "1,50"), ("i1", '"Milk' + sign + ' oats"', "2")]
    (tmp_path / "items.csv").write_text("\n".join(map(sign.join, items)))
    rows = [("user", "item", "time"), ("u", "i1", "02.01.2024 09:30"), ("u", "i0", "1.2.2024")]
    found = custom(
        "\n".join(map(sign.join, rows)), name, items=tmp_path / "items.csv", map=f"{MAP},text=name"
    )
    assert [(user, item) for user, item, _ in found.actions] == [("u", "i1"), ("u", "i0")]
    assert [time for *_, time in found.actions] == [1704187800, 1706745600]
    assert found.problems == []
    milk = " ".join(f"Milk{sign} oats".split())
    assert {name: row["text"] for name, row in found.items.items()} == {"i0": "Tea, green", "i1": milk}


def test_several_reasons_are_no_single_one(custom):
    rows = [*(f"u,i,{time}" for time in range(94)), *["u,,1"] * 3, *["u,i,soon"] * 3]
    assert len(custom("user,item,time\n" + "\n".join(rows)).actions) == 94


def test_strict_names_the_encoding_too(custom):
    with pytest.raises(DataError, match=r"line 2: is not UTF-8 \(mend the row, .*--encoding latin-1"):
        custom(log(1, user="Zoë").encode("latin-1"), strict=True)


def test_the_loss_may_be_allowed(custom):
    found = custom(log("soon", 1, 2), allow_loss=True)
    assert found.problems == [
        "1 malformed row dropped: log.csv, line 2: time 'soon' is neither a whole number nor an ISO date "
        "(33.3 % of log.csv)"
    ]


def test_small_shares_are_told_as_such():
    problems = Problems()
    problems.found("log", 10_000)
    problems.row("log", 7, "is odd")
    problems.refuse_loss()
    assert problems.lines() == ["1 malformed row dropped: log, line 7: is odd (less than 0.1 % of log)"]


def test_the_table_of_items_counts_too(custom, tmp_path):
    (tmp_path / "items.csv").write_text("item,title\ni0,Mug\n,Jug\n,Cup\n")
    with pytest.raises(
        DataError, match=r"2 of 3 rows \(66\.7 %\) of items\.csv would .*line 3: item is empty"
    ):
        custom(log(1, 2), items=tmp_path / "items.csv", map=MAP + ",text=title")


def test_files_of_one_name_are_counted_apart(tmp_path):
    problems = Problems()
    for folder, bad in (("large", 0), ("small", 1)):
        problems.found(RawFile(tmp_path / folder / "t.csv"), 100 if folder == "large" else 2)
        for _ in range(bad):
            problems.row(RawFile(tmp_path / folder / "t.csv"), 1, "is odd", Reason("odd", "mend it"))
    with pytest.raises(DataError, match=r"1 of 2 rows \(50\.0 %\) of t\.csv .*; mend it, or go on without"):
        problems.refuse_loss()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "txt"])
def test_latin_1_names_itself_and_can_be_read(custom, kind):
    users = ["Zoë", "Zoé", "René", "Anna"]
    rows = {
        "csv": log(1).splitlines()[0] + "\n" + "".join(f"{user},café,1\n" for user in users),
        "jsonl": "".join(
            json.dumps({"user": user, "item": "café", "time": 1}, ensure_ascii=False) + "\n" for user in users
        ),
        "txt": "".join(f"{user} café\n" for user in users),
    }[kind]
    more = {"format": "sequences", "map": None} if kind == "txt" else {}
    words = r"is not UTF-8.*say how the file is encoded, for example --encoding latin-1 \(it reads '.*"
    with pytest.raises(DataError, match=words):
        custom(rows.encode("latin-1"), f"log.{kind}", **more)
    found = custom(rows.encode("latin-1"), f"log.{kind}", encoding="latin-1", **more)
    assert sorted(user for user, *_ in found.actions) == sorted(users)
    assert found.items.keys() == {"café"}


def test_rows_in_latin_1_are_one_reason_whatever_they_say(custom):
    rows = [*(f"u{n},i,1" for n in range(90)), *(f"Zo\u00eb{n},caf\u00e9{n},1" for n in range(10))]
    text = ("user,item,time\n" + "\n".join(rows)).encode("latin-1")
    with pytest.raises(DataError) as caught:
        custom(text)
    assert "10 of 100 rows (10.0 %) of log.csv would be dropped for one reason" in str(caught.value)
    assert str(caught.value).count("--encoding latin-1") == 1
    with pytest.raises(DataError) as caught:
        custom(text.replace(b"\nu", b"\n\xff"))
    assert str(caught.value).count("--encoding latin-1") == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252", "cp1251", "gb18030", "utf-8-sig"])
def test_any_encoding_in_blocks_of_any_size(tmp_path, monkeypatch, encoding):
    letters = "Привет" if encoding in ("cp1251", "gb18030", "utf-16") else "Zoë €"
    text = "a,b\n" + "".join(f"{letters}{n},x\n" for n in range(50))
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    monkeypatch.setattr("tssr.pipeline.raw.blocks.BLOCK_BYTES", 7)
    rows = read_delimited(RawFile(tmp_path / "t.csv", encoding=encoding), ("a",), Problems())
    assert [value for part in rows for value in part.columns["a"].to_pylist()] == [
        f"{letters}{n}" for n in range(50)
    ]


def test_bytes_that_the_encoding_does_not_have(custom):
    words = r"log\.csv: is no text in the encoding utf-16, somewhere after line 0; name another one"
    with pytest.raises(DataError, match=words):
        custom(b"user,item,time\n\xff", encoding="utf-16")


def test_the_wrong_encoding_is_told_where_windows_would_fit():
    assert "--encoding cp1252 (it reads '“Café”')" in not_utf_8("“Café”".encode("cp1252")).cure
    assert "--encoding latin-1 (it reads 'Café')" in not_utf_8("Café".encode("latin-1")).cure


def test_utf_8_is_read_as_it_is(tmp_path):
    (tmp_path / "x").write_bytes(b"\xff")
    with (tmp_path / "x").open("rb") as stream:
        assert as_utf_8(stream, "UTF8") is stream


@pytest.mark.parametrize("name", ["klingon", "base64", "", "a\0b"])
def test_encodings_that_nobody_knows(name):
    with pytest.raises(
        UsageError, match=r"--encoding .*: no text encoding of that name is known; for example"
    ):
        PreprocessSettings(encoding=name)


def test_no_reader_has_threads_that_outlive_it(tmp_path, monkeypatch):
    """Arrow's threads abort the process where it ends before they do, as it does at a malformed row."""
    threads = []

    def watched(module, name, of):
        real = getattr(module, name)

        def call(*arguments, **options):
            threads.append(of(options))
            return real(*arguments, **options)

        monkeypatch.setattr(module, name, call)

    watched(pyarrow.csv, "read_csv", lambda options: options["read_options"].use_threads)
    watched(pyarrow.json, "read_json", lambda options: options["read_options"].use_threads)
    watched(pq.ParquetFile, "iter_batches", lambda options: options.get("use_threads", True))
    (tmp_path / "t.csv").write_text("a\nx\n")
    (tmp_path / "t.jsonl").write_text('{"a": "x"}\n')
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "t.parquet")
    for read, kind in ((read_delimited, "csv"), (read_json_lines, "jsonl"), (read_parquet, "parquet")):
        (rows,) = read(RawFile(tmp_path / f"t.{kind}"), ("a",), Problems())
        assert rows.columns["a"].to_pylist() == ["x"]
    assert threads == [False] * 3
