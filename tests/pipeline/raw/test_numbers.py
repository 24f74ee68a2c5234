"""One rule for ids, times and text that went through floating-point numbers, in every format."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tssr.core.errors import DataError
from tssr.pipeline.raw.numbers import as_ids, float_column, number_text

LARGE = 4006381333901


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("101.0", "101"),
        ("101.000", "101"),
        ("-7.0", "-7"),
        ("0.0", "0"),
        ("4.006381333901e+12", "4006381333901"),
        ("4.006381333901E12", "4006381333901"),
        ("1e+16", "10000000000000000"),
        *(
            (word, word)
            for word in ("101", "007", "007.0", "1e5", "1.0.0", "v1.0", ".0", "1.", "1,0", "10e+", "+1")
        ),
    ],
)
def test_a_whole_float_is_its_integer_and_other_words_stay(written, meant):
    ids = as_ids(pa.array(["x", None, written]))
    assert ids.texts.to_pylist() == ["x", None, meant]
    assert (ids.nothing.tolist(), ids.fractions.tolist()) == ([False, True, False], [False] * 3)


@pytest.mark.parametrize(
    "word", ["", "NaN", "nan", "-nan", "inf", "-inf", "Inf", "-Inf", "Infinity", "-Infinity"]
)
def test_what_is_no_number_is_nothing(word):
    assert as_ids(pa.array([word, "banana", "Nan"])).nothing.tolist() == [True, False, False]


@pytest.mark.parametrize("word", ["101.5", "-0.25", "1.5e-3", "1.23456E2"])
def test_a_fraction_is_marked(word):
    ids = as_ids(pa.array(["101.0", word]))
    assert (ids.texts[0].as_py(), ids.fractions.tolist()) == ("101", [False, True])


@given(st.lists(st.one_of(st.none(), st.integers(-(2**53), 2**53))))
def test_ids_of_floats_are_those_of_integers(numbers):
    floats = float_column(pa.array([None if n is None else float(n) for n in numbers], pa.float64()))
    written = pa.array([None if n is None else repr(float(n)) for n in numbers], pa.string())
    expected = [None if n is None else str(n) for n in numbers]
    assert as_ids(floats).texts.to_pylist() == expected
    assert as_ids(written).texts.to_pylist() == expected


@given(st.lists(st.floats(width=64)))
def test_floats_as_text_are_exact(values):
    texts = float_column(pa.array(values, pa.float64())).cast(pa.string()).to_pylist()
    assert texts == [number_text(value) for value in values]
    for value, text in zip(values, texts, strict=True):
        assert (text is None) if not math.isfinite(value) else (float(text) == value and "e" not in text)


def test_floats_that_stand_for_several_integers_are_counted():
    assert as_ids(pa.array([f"{2**53}.0", f"{2**53 - 1}.0", "9.1e+15"])).rounded == 2


def log_file(folder, kind, rows, columns=("user", "item", "time")):
    """Rows of floats as one program after another writes them."""
    path = folder / f"log.{kind}"
    if kind == "parquet":
        values = list(zip(*rows, strict=True))
        pq.write_table(pa.table(dict(zip(columns, map(pa.array, values), strict=True))), path)
    elif kind == "jsonl":
        lines = (json.dumps(dict(zip(columns, row, strict=True))) for row in rows)
        path.write_text("".join(line + "\n" for line in lines))
    else:
        lines = (",".join("" if value is None else str(value) for value in row) for row in [columns, *rows])
        path.write_text("".join(line + "\n" for line in lines))
    return path


FLOATS = [
    (1.0, float(LARGE), 1.5724e12),
    (1.0, 7.0, 1.5725e12),
    (2.0, 7.0, 1.5726e12),
    (float("nan"), 7.0, 1.5726e12),
    (2.0, float("nan"), 1.5726e12),
    (float("inf"), 7.0, 1.5726e12),
    (2.0, float("-inf"), 1.5726e12),
]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_the_same_log_of_floats_in_every_format(tmp_path, read, kind):
    found = read("custom", interactions=log_file(tmp_path, kind, FLOATS), map="user=user,item=item,time=time")
    large, seven = str(LARGE), "7"
    assert found.actions == [
        ("1", large, 1572400000000),
        ("1", seven, 1572500000000),
        ("2", seven, 1572600000000),
    ]
    assert found.problems[0].startswith("4 malformed rows dropped: ")
    assert found.problems[0].endswith(f"(57.1 % of log.{kind})")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_ids_with_a_fraction_are_refused_with_their_row(tmp_path, read, kind):
    rows = [(1.0, 5.0), (1.0, 6.5), (2.0, 5.0)]
    path = log_file(tmp_path, kind, rows, ("user", "item"))
    line = 3 if kind == "csv" else 2
    words = rf"log\.{kind}, line {line}: item 6\.5 is a number with a fraction, and ids are whole"
    with pytest.raises(DataError, match=words + r"; see whether .*--allow-loss"):
        read("custom", interactions=path, map="user=user,item=item", allow_loss=False)
    assert len(read("custom", interactions=path, map="user=user,item=item").actions) == 2


@pytest.mark.parametrize("log", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_items_with_integers_match_a_log_of_floats(tmp_path, read, log, kind):
    actions = log_file(tmp_path, log, FLOATS[:3])
    (tmp_path / "items").mkdir()
    rows = [(LARGE, "A mug"), (7, "NaN"), (8, "x")]
    items = log_file(tmp_path / "items", kind, rows, ("item", "title"))
    mapping = "user=user,item=item,time=time,text=title"
    found = read("custom", interactions=actions, items=items, map=mapping, raw=tmp_path)
    assert {name: row["text"] for name, row in found.items.items()} == {str(LARGE): "A mug", "7": None}


def test_content_that_is_no_number_is_none(tmp_path, read):
    log = log_file(tmp_path, "csv", [("u", "a"), ("u", "b"), ("u", "c")], ("user", "item"))
    items = tmp_path / "items.jsonl"
    items.write_text(
        '{"item": "a", "title": NaN, "year": 1999.0}\n{"item": "b", "title": ["x", NaN, 2.5]}\n'
        '{"item": "c", "title": "Infinity"}\n{"item": NaN, "title": "y"}\n'
    )
    mapping = "user=user,item=item,text=title"
    found = read("custom", interactions=log, items=items, map=mapping, raw=tmp_path)
    assert [found.items[name]["text"] for name in "abc"] == [None, "x, 2.5", "Infinity"]
    assert found.items["a"]["year"] == "1999"
    assert "items.jsonl, line 4: item is empty (25.0 % of items.jsonl)" in found.problems[0]


def test_lists_of_parquet_leave_out_what_is_nothing(tmp_path, read):
    log = log_file(tmp_path, "csv", [("u", "a"), ("u", "b"), ("u", "c")], ("user", "item"))
    lists = pa.array([[1.0, np.nan, 2.5], [], None], pa.list_(pa.float64()))
    pq.write_table(pa.table({"item": ["a", "b", "c"], "title": lists}), tmp_path / "items.parquet")
    items, mapping = tmp_path / "items.parquet", "user=user,item=item,text=title"
    found = read("custom", interactions=log, items=items, map=mapping, raw=tmp_path)
    assert [found.items[name]["text"] for name in "abc"] == ["1, 2.5", None, None]


def test_sequences_of_floats(tmp_path, read):
    (tmp_path / "log.txt").write_text("1.0 7.0 8\n2.0 NaN 7.0\n3 7 7.5\n")
    found = read("custom", interactions=tmp_path / "log.txt", format="sequences")
    assert found.actions == [("1", "7", 0), ("1", "8", 1)]
    assert found.problems == [
        "2 malformed rows dropped: log.txt, line 2: a word is NaN, which is no id; log.txt, line 3: "
        "a word 7.5 is a number with a fraction, and ids are whole (66.7 % of log.txt)"
    ]
