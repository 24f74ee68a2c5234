"""Rows of many mapped arrays are those of the arrays joined into one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tssr.features.mapped_rows import MappedRows


@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=8).filter(sum),
    width=st.integers(1, 7),
    dtype=st.sampled_from(["uint8", "int32", "float16", "float32"]),
    order=st.randoms(use_true_random=False),
    chosen=st.lists(st.integers(0, 10_000), max_size=30),
)
def test_any_rows_of_parts_anywhere_in_memory(sizes, width, dtype, order, chosen):
    values = np.random.default_rng(0).integers(0, 99, (sum(sizes), width)).astype(dtype)
    pieces = np.split(values, np.cumsum(sizes)[:-1])
    parts = [np.empty(0)] * len(pieces)
    for number in order.sample(range(len(pieces)), len(pieces)):  # addresses in an order of their own
        parts[number] = pieces[number].copy()
    rows = np.array(chosen, np.int64) % len(values)
    gathered = MappedRows(parts).gather(rows)
    assert gathered.dtype == dtype
    np.testing.assert_array_equal(gathered, values[rows])


def test_what_is_gathered_is_a_copy_and_the_parts_are_read_only():
    part = np.arange(6, dtype=np.float32).reshape(3, 2)
    rows = MappedRows([part])
    rows.gather(np.array([1]))[:] = 9
    np.testing.assert_array_equal(part[1], [2, 3])
    assert not rows.span.flags.writeable


@pytest.mark.parametrize("row", [-1, 3])
def test_a_row_out_of_range_is_refused(row):
    rows = MappedRows([np.zeros((3, 2), np.float32)])
    with pytest.raises(IndexError, match="of 3"):
        rows.gather(np.array([0, row]))
