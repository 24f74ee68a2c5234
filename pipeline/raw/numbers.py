"""Converting floating-point numbers to text, for ids and texts.

A table that went through a spreadsheet or a data frame often has whole numbers as floats: if a column of
integers has one empty cell, 101 is stored as 101.0. The same rules apply to all file formats:

- NaN and the infinities count as an empty cell.
- A whole float is its integer, with all digits: 101.0 is 101, and 4.006381333901e+12 is 4006381333901.
- Any other float is written without an exponent, as 0.0000001; as an id it is refused (see `as_ids`).

CSV has no types, so that a text counts as a float where it is written like one: digits, a point and digits
(101.0), or an exponent as programs print it (1.5e+12, 4.0E12). All other text stays as it is: 007, 1e5, v1.0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

WRITTEN_FLOAT = r"^-?(0|[1-9]\d*)\.\d+([eE][+-]?\d{1,3})?$|^-?[1-9][eE]\+\d{1,3}$"
WHOLE_BELOW = 2.0**53  # from here on several integers are rounded to the same float64

# As a title "Infinity" is a name; as an id it can only be a number that overflowed.
NO_TEXT = ("NaN", "nan", "-nan", "inf", "-inf", "+inf", "-Inf", "+Inf", "-Infinity", "+Infinity")
NO_ID = pa.array([*NO_TEXT, "Inf", "Infinity"])


def number_text(value: float) -> str | None:
    """A float as text; None where it is no number.

    >>> number_text(4006381333901.0), number_text(1e-7), number_text(float("nan"))
    ('4006381333901', '0.0000001', None)
    """
    if not math.isfinite(value):
        return None
    return str(int(value)) if value.is_integer() else np.format_float_positional(value, trim="-")


def float_column(column: pa.Array) -> pa.Array:
    """A column of floats as int64 where all are whole, else as text; null where there is no number."""
    values = column.cast(pa.float64())
    finite = pc.fill_null(pc.is_finite(values), False)
    numbers = np.asarray(pc.fill_null(pc.if_else(finite, values, 0.0), 0.0))
    if bool(((numbers == np.trunc(numbers)) & (np.abs(numbers) < 2.0**62)).all()):
        return pa.array(numbers.astype(np.int64), mask=~np.asarray(finite))
    encoded = column.cast(pa.float64()).dictionary_encode()
    words = pa.array([number_text(value) for value in encoded.dictionary.to_pylist()], pa.string())
    return words.take(encoded.indices)


@dataclass(frozen=True)
class Ids:
    """A column of ids as text, and which rows have none.

    `nothing` marks rows that are empty or no number, `fractions` those with a number that is not whole;
    `rounded` counts ids that were floats so large that other ids may have been rounded to the same one.
    """

    texts: pa.Array
    nothing: NDArray[np.bool_]
    fractions: NDArray[np.bool_]
    rounded: int = 0


def as_ids(column: pa.Array) -> Ids:
    """Read a column of text or int64 as ids: text as it is written, a float as the head of this file says."""
    if not (pa.types.is_string(column.type) or pa.types.is_null(column.type)):
        texts = column.cast(pa.string())
        return Ids(texts, np.asarray(texts.is_null()), np.zeros(len(texts), bool))
    texts = column.cast(pa.string())
    data = texts.buffers()[2]
    letters = data.to_pybytes() if data is not None else b""
    empty = pc.equal(texts, "")
    if b"n" in letters or b"NaN" in letters:  # most logs have neither in their ids, and need no closer look
        empty = pc.or_(empty, pc.is_in(texts, value_set=NO_ID))
    nothing = np.asarray(pc.fill_null(empty, True))
    none = np.zeros(len(texts), bool)
    if b"." not in letters and b"+" not in letters:
        return Ids(texts, nothing, none)
    encoded = texts.dictionary_encode()
    floats = np.asarray(pc.fill_null(pc.match_substring_regex(encoded.dictionary, WRITTEN_FLOAT), False))
    if not floats.any():
        return Ids(texts, nothing, none)
    words = encoded.dictionary.to_pylist()
    whole = {place: Decimal(words[place]) for place in np.flatnonzero(floats).tolist()}
    fractional = np.zeros(len(words) + 1, bool)  # a null row takes the extra place behind the last word
    large = np.zeros(len(words) + 1, bool)
    for place, number in whole.items():
        if number == number.to_integral_value():
            words[place] = str(int(number))
            large[place] = abs(number) >= WHOLE_BELOW
        else:
            fractional[place] = True
    places = encoded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    texts = pa.array(words, pa.string()).take(encoded.indices)
    return Ids(texts, nothing, fractional[places], int(large[places].sum()))
