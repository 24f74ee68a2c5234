"""A store whose vectors tell nothing is refused with two contents that have the same vector."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tssr.core.errors import DataError
from tssr.features.content import SOURCE, content_key
from tssr.features.parts import write_part
from tssr.features.pictures import BadContentError
from tssr.features.store import KEY, KEY_TYPE
from tssr.features.usefulness import refuse_useless

TEXTS = [f"text {number}" for number in range(200)]
KEYS = pa.array([content_key(text.encode()) for text in TEXTS], KEY_TYPE)
CONTENT = pa.table({SOURCE: TEXTS, KEY: KEYS})
DRAW = np.random.default_rng(0)


def store(folder, vectors, failures=()):
    """The vectors of the first texts in two parts; those at `failures` have none."""
    vectors = np.asarray(vectors, np.float16)
    cut = (len(vectors) + 1) // 2
    keys = KEYS[: len(vectors)]
    bad = {row: BadContentError("broken", "") for row in failures}
    first = {row: error for row, error in bad.items() if row < cut}
    last = {row - cut: error for row, error in bad.items() if row >= cut}
    parts = [write_part(folder, 0, keys[:cut], vectors[:cut], first)]
    return parts + ([write_part(folder, 1, keys[cut:], vectors[cut:], last)] if cut < len(vectors) else [])


@pytest.mark.parametrize(
    ("vectors", "what"),
    [
        (np.zeros((6, 4)), "all zero"),
        (np.ones((6, 4)), "nearly all equal"),
        (1 + 5e-4 * DRAW.random((6, 4)), "nearly all equal"),  # as rounding in half precision leaves them
        (np.concatenate([DRAW.normal(size=(1, 4)), np.ones((199, 4))]), "nearly all equal"),
    ],
)
def test_useless_vectors_are_told_with_two_contents(tmp_path, vectors, what):
    with pytest.raises(
        DataError, match=rf"^the vectors of mine are {what}, as those of 'text \d' and 'text \d'"
    ):
        refuse_useless("mine", store(tmp_path, vectors), CONTENT)


@pytest.mark.parametrize(
    "vectors",
    [
        DRAW.normal(size=(6, 4)),
        100 + DRAW.normal(size=(6, 4)),  # far from zero and near each other, but not the same
        np.concatenate([DRAW.normal(size=(20, 4)), np.ones((180, 4))]),  # nine of ten have no content to tell
        np.ones((1, 4)),
    ],
)
def test_vectors_that_tell_something_pass(tmp_path, vectors):
    refuse_useless("mine", store(tmp_path, vectors), CONTENT)


def test_rows_without_a_vector_are_no_vectors(tmp_path):
    vectors = DRAW.normal(size=(200, 4))
    vectors[3:] = 0
    refuse_useless("mine", store(tmp_path, vectors, failures=range(3, 200)), CONTENT)
