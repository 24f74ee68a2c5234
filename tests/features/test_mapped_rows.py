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


def test_what_is_gathered_is_a_copy_that_leaves_the_parts_alone():
    part = np.arange(6, dtype=np.float32).reshape(3, 2)
    MappedRows([part]).gather(np.array([1, 1]))[:] = 9
    np.testing.assert_array_equal(part[1], [2, 3])


def test_a_thousand_parts_are_read_in_any_order_with_rows_asked_for_twice():
    values = np.arange(3000, dtype=np.int32).reshape(-1, 1) * [1, 10]
    rows = np.random.default_rng(0).integers(0, 3000, 9000)
    gathered = MappedRows(np.split(values, 1000)).gather(rows)
    np.testing.assert_array_equal(gathered, values[rows])


def test_only_the_parts_of_the_rows_asked_for_are_read():
    class Unreadable(np.ndarray):
        def __getitem__(self, rows):
            raise AssertionError("a part was read of which no row is wanted")

    parts = [np.zeros((2, 1)).view(Unreadable), np.ones((2, 1)), np.zeros((2, 1)).view(Unreadable)]
    assert MappedRows(parts).gather(np.array([3, 2, 3])).tolist() == [[1], [1], [1]]


@pytest.mark.parametrize("row", [-1, 3])
def test_a_row_out_of_range_is_refused(row):
    rows = MappedRows([np.zeros((3, 2), np.float32)])
    with pytest.raises(IndexError, match="of 3"):
        rows.gather(np.array([0, row]))
