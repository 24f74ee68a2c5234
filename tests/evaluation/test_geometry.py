import numpy as np
import pytest

from tssr.evaluation.geometry import alignment, uniformity


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
