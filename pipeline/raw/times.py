"""Times as whole seconds since 1970 (UTC), exact: integers stay as they are, ISO dates are converted."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_FRACTION = r"(:\d\d)\.\d+"
_INTEGER = r"^[+-]?\d{1,19}(\.0+)?$"


def parse_times(column: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_], int]:
    """Read a column of text or int64 as times.

    Returns the int64 times, which rows are no time, and how many lost a fraction of a second.

    A time is an integer (kept as it is, whatever its unit), an ISO date (`2020-09-22`, its midnight UTC) or
    an ISO date with time (`2020-09-22 13:05:00`, `…T13:05:00Z`, `…+02:00`; fractions of a second are cut).
    """
    if pa.types.is_int64(column.type):
        return column.fill_null(0).to_numpy(zero_copy_only=False), np.asarray(column.is_null()), 0
    encoded = column.dictionary_encode()
    words = encoded.dictionary
    times = _integers(words)
    for reading in (_dates, _moments):
        if times.null_count:
            times = pc.coalesce(times, reading(words))
    wrong = np.asarray(times.is_null())
    values = times.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    # A null row has no word: it takes the extra place behind the last one.
    places = encoded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    wrong = np.append(wrong, True)
    cut = np.append(np.asarray(pc.match_substring_regex(words, r":\d\d\.0*[1-9]"), bool), False) & ~wrong
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


def _integers(words: pa.Array) -> pa.Array:
    usable = pc.match_substring_regex(words, _INTEGER)
    plain = pc.replace_substring_regex(words, r"\.0+$|^\+", "")
    return _each(plain, usable, "integer")


def _dates(words: pa.Array) -> pa.Array:
    return _each(words, pc.match_substring_regex(words, r"^\d{4}-\d\d-\d\d$"), "date")


def _moments(words: pa.Array) -> pa.Array:
    moment = r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d{1,9})?)?"
    local = pc.match_substring_regex(words, moment + "$")
    zoned = pc.match_substring_regex(words, moment + r"(Z|[+-]\d\d(:?\d\d)?)$")
    whole = pc.replace_substring_regex(words, _FRACTION, r"\1")  # nanoseconds reach from 1677 to 2262 only
    return pc.coalesce(_each(whole, local, "moment"), _each(whole, zoned, "moment with zone"))
