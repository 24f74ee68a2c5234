from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tssr.pipeline.raw.times import parse_times

EXACT = [
    ("16777217", 16777217),
    ("-5", -5),
    ("+7", 7),
    ("1293782400.0", 1293782400),
    ("9223372036854775807", 2**63 - 1),
    ("2020-09-22", 1600732800),
    ("2020-09-22 13:05:01", 1600779901),
    ("2020-09-22T13:05:01.999999", 1600779901),
    ("2020-09-22T13:05:01Z", 1600779901),
    ("2020-09-22T15:05:01+02:00", 1600779901),
    ("1969-12-31T23:59:58.5", -2),
]


@pytest.mark.parametrize(("text", "seconds"), EXACT)
def test_what_is_a_time(text, seconds):
    times, wrong, _ = parse_times(pa.array([text]))
    assert (times.tolist(), wrong.tolist()) == ([seconds], [False])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "1.5",
        "1e9",
        "9223372036854775808",
        "2020-13-01",
        "2020-02-30",
        "2020-09-22 25:00:00",
        "12 ",
    ],
)
def test_what_is_none(text):
    column = pa.array(["7", text, "2020-09-22"])
    times, wrong, _ = parse_times(column)
    assert wrong.tolist() == [False, True, False]
    assert times[[0, 2]].tolist() == [7, 1600732800]


def test_nulls_are_no_times():
    assert parse_times(pa.array([None, "3", None]))[1].tolist() == [True, False, True]
    assert parse_times(pa.array([None], pa.string()))[1].tolist() == [True]
    times, wrong, _ = parse_times(pa.array([5, None]))
    assert (times.tolist(), wrong.tolist()) == ([5, 0], [False, True])


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integers_are_exact(values):
    times, wrong, _ = parse_times(pa.array([str(value) for value in values], pa.string()))
    assert times.tolist() == values
    assert not wrong.any()


@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)))
def test_moments_agree_with_the_standard_library(moment):
    text = moment.strftime("%Y-%m-%d %H:%M:%S").rjust(19, "0")
    expected = int(moment.replace(microsecond=0, tzinfo=UTC).timestamp())
    assert parse_times(pa.array([text]))[0].tolist() == [expected]
