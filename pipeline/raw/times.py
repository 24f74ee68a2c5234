"""Times as whole seconds since 1970 (UTC), exact: integers stay as they are, dates are converted."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .numbers import WRITTEN_FLOAT

_PLAIN = r"^[+-]?(\d{1,19}(\.0*)?|\d{1,18}\.\d*)$"  # a number, perhaps with a fraction
# What has a fraction that is not 0, and neither an exponent nor another point: 2024.05.01 is a date.
_CUT = r"(^[+-]?\d+|:\d\d)\.0*[1-9]\d*([^\d.eE]|$)"
_FRACTION = r"(:\d\d)\.\d+"
_DAY = r"^\d{4}-\d\d-\d\d"


def parse_times(column: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_], int]:
    """Read a column of text or int64 as times.

    Returns the int64 times, which rows are no time, and how many lost a fraction of a second.

    A time is an integer (kept as it is, whatever its unit), a number with a fraction (cut to the integer
    below), a date (`2020-09-22`, `2020/9/22` or `22.9.2020`, its midnight UTC) or a date with time
    (`2020-09-22 13:05:00`, `…T13:05:00Z`, `… 13:05:00 UTC`, `…+02:00`; fractions of a second are cut).
    """
    if pa.types.is_int64(column.type):
        return column.fill_null(0).to_numpy(zero_copy_only=False), np.asarray(column.is_null()), 0
    encoded = column.dictionary_encode()
    words = encoded.dictionary
    times = _numbers(words)
    for reading in (_exponents, _dates, _moments):
        if times.null_count:
            times = pc.coalesce(times, reading(words))
    wrong = np.asarray(times.is_null())
    values = times.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    # A null row has no word: it takes the extra place behind the last one.
    places = encoded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    wrong = np.append(wrong, True)
    cut = np.append(np.asarray(pc.match_substring_regex(words, _CUT), bool), False) & ~wrong
    return np.append(values, 0)[places], wrong[places], int(cut[places].sum())


def _each(words: pa.Array, usable: pa.Array, convert: str) -> pa.Array:
    """Cast the usable words, at once where all are well-formed, else one by one; the others become null."""
    chosen = pc.if_else(usable, words, pa.scalar(None, pa.string()))
    try:
        return _CONVERSIONS[convert](chosen)
    except pa.ArrowInvalid:
        values = []
        for index in range(len(chosen)):
            try:
                values.append(_CONVERSIONS[convert](chosen.slice(index, 1))[0].as_py())
            except pa.ArrowInvalid:
                values.append(None)
        return pa.array(values, pa.int64())


_CONVERSIONS = {
    "integer": lambda words: words.cast(pa.int64()),
    "date": lambda words: words.cast(pa.date32()).cast(pa.timestamp("s")).cast(pa.int64()),
    "moment": lambda words: words.cast(pa.timestamp("s")).cast(pa.int64()),
    "moment with zone": lambda words: words.cast(pa.timestamp("s", "UTC")).cast(pa.int64()),
}


def _numbers(words: pa.Array) -> pa.Array:
    """Integers, and numbers with a fraction as the integer below: -1.5 is -2, as for dates before 1970."""
    usable = pc.match_substring_regex(words, _PLAIN)
    whole = _each(pc.replace_substring_regex(words, r"\..*$|^\+", ""), usable, "integer")
    below = pc.match_substring_regex(words, r"^-\d+\.0*[1-9]")
    return pc.if_else(below, pc.subtract(whole, 1), whole) if pc.any(below).as_py() else whole


def _exponents(words: pa.Array) -> pa.Array:
    """Floats as programs print large ones: 1.5724e+12 is 1572400000000; with a fraction they are no time."""
    floats = np.asarray(pc.match_substring_regex(words, WRITTEN_FLOAT), bool)
    values: list[int | None] = [None] * len(words)
    for place in np.flatnonzero(floats).tolist():
        number = Decimal(words[place].as_py())
        if number == number.to_integral_value() and abs(number) < 2**63:
            values[place] = int(number)
    return pa.array(values, pa.int64())


def _as_iso(words: pa.Array) -> pa.Array:
    """Dates with other signs between their parts, and zones behind a space, as ISO 8601 has them.

    `2024/5/1` and `1.5.2024` are 2024-05-01, `2019-10-01 00:00:00 UTC` is 2019-10-01 00:00:00Z. With points
    the day comes first everywhere. 01/05/2024 is not read: it is January in one country and May in another.
    """
    words = pc.replace_substring_regex(words, r"^(\d{1,2})\.(\d{1,2})\.(\d{4})\b", r"\3-\2-\1")
    words = pc.replace_substring_regex(words, r"^(\d{4})[/.-](\d{1,2})[/.-](\d{1,2})\b", r"\1-0\2-0\3")
    words = pc.replace_substring_regex(words, r"^(\d{4})-0?(\d\d)-0?(\d\d)\b", r"\1-\2-\3")
    words = pc.replace_substring_regex(words, r" ?(UTC|GMT|Z)$", "Z")
    return pc.replace_substring_regex(words, r" ([+-]\d\d(:?\d\d)?)$", r"\1")


def _dates(words: pa.Array) -> pa.Array:
    words = _as_iso(words)
    return _each(words, pc.match_substring_regex(words, _DAY + "$"), "date")


def _moments(words: pa.Array) -> pa.Array:
    words = _as_iso(words)
    moment = _DAY + r"[ T]\d\d:\d\d(:\d\d(\.\d{1,9})?)?"
    local = pc.match_substring_regex(words, moment + "$")
    zoned = pc.match_substring_regex(words, moment + r"(Z|[+-]\d\d(:?\d\d)?)$")
    whole = pc.replace_substring_regex(words, _FRACTION, r"\1")  # nanoseconds reach from 1677 to 2262 only
    return pc.coalesce(_each(whole, local, "moment"), _each(whole, zoned, "moment with zone"))
