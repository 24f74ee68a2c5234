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
    ("1572566400.5", 1572566400),
    ("1.5", 1),
    ("-1.5", -2),
    ("-0.25", -1),
    ("5.", 5),
    ("1.5725664e+12", 1572566400000),
    ("1.5725664E9", 1572566400),
    ("2e+09", 2000000000),
    ("2024/05/01", 1714521600),
    ("2024/5/1 09:30", 1714555800),
    ("2024.05.01 09:30:00", 1714555800),
    ("2024-5-1", 1714521600),
    ("01.05.2024", 1714521600),
    ("1.5.2024 09:30", 1714555800),
    ("31.12.2023 23:59:59.5", 1704067199),
    ("2019-10-01 00:00:00 UTC", 1569888000),
    ("2019-10-01 00:00:00.123 UTC", 1569888000),
    ("2019-10-01T00:00:00GMT", 1569888000),
    ("2019-10-01 02:00:00 +0200", 1569888000),
    ("2019/10/01 02:00:00 +02:00", 1569888000),
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
        "1e9",
        "1.5e-3",
        "1.5e+30",
        "NaN",
        "inf",
        ".5",
        "9223372036854775808",
        "-9223372036854775808.5",
        "2024/13/01",
        "2024/05/001",
        "01/05/2024",
        "01-05-2024",
        "1.5.24",
        "30.02.2024",
        "05.13.2024",
        "1.5.20245",
        "2024/05",
        "2019-10-01 00:00:00 CEST",
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


@pytest.mark.parametrize("date", ["2024.05.01", "2024.05.01 09:30:00", "1.5.2024", "21.12.2024 09:30"])
def test_a_date_with_points_has_no_fraction(date):
    assert parse_times(pa.array([date]))[2] == 0


def test_fractions_that_are_cut_are_counted():
    words = ["1572566400.5", "1572566400.0", "1572566401.25", "1.5e+12", "2019-10-01 00:00:00.5 UTC", None]
    assert parse_times(pa.array(words))[2] == 3


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
