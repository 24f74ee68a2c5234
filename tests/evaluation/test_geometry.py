import tracemalloc

import numpy as np
import pytest

from tssr.evaluation.geometry import alignment, squared_lengths, uniformity, unit_rows


def test_the_definition_pair_by_pair():
    draw = np.random.default_rng(3)
    one, other = draw.standard_normal((2, 7, 4))
    unit = [vectors / np.linalg.norm(vectors, axis=1)[:, None] for vectors in (one, other)]
    expected = np.mean([np.sum((a - b) ** 2) for a, b in zip(*unit, strict=True)])
    assert alignment(one, other) == pytest.approx(expected)
    kernels = [np.exp(-2 * np.sum((unit[0][i] - unit[0][j]) ** 2)) for i in range(7) for j in range(i)]
    assert uniformity(one) == pytest.approx(np.log(np.mean(kernels)))


def test_length_does_not_count_and_vectors_of_zeros_are_no_error():
    vectors = np.random.default_rng(1).standard_normal((5, 3))
    assert alignment(vectors, 9 * vectors) == pytest.approx(0)
    assert uniformity(7 * vectors) == pytest.approx(uniformity(vectors))
    assert np.isfinite(uniformity(np.zeros((3, 2))))
    assert uniformity(vectors[:1]) == 0


def test_a_row_of_zeros_stays_one():
    assert unit_rows(np.array([[0, 0], [3, 4]], np.float32)).tolist() == [
        [0, 0],
        [0.6000000238418579, 0.800000011920929],
    ]


def test_half_precision_is_scaled_in_float32_and_the_given_vectors_stay():
    stored = np.array([[300, 400], [0, 2]], np.float16)  # whose squared length no float16 holds
    rows = unit_rows(stored)
    assert rows.dtype == np.float32
    assert rows == pytest.approx(np.array([[0.6, 0.8], [0, 1]]))
    assert stored.tolist() == [[300, 400], [0, 2]]


def test_lengths_take_no_copy_of_a_large_table():
    table = np.random.default_rng(0).standard_normal((4000, 64)).astype(np.float32)  # 1 MB
    tracemalloc.start()
    found = squared_lengths(table)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == pytest.approx(np.square(table.astype(np.float64)).sum(axis=1))
    assert peak < table.nbytes / 4
