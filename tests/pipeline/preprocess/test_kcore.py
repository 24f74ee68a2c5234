import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tssr.pipeline.preprocess.kcore import core_mask

PAIRS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=60)


def brute_force(pairs, minimum):
    """Remove one weak row at a time until none is left."""
    rows = list(range(len(pairs)))
    while True:
        weak = [
            row
            for row in rows
            if sum(pairs[other][0] == pairs[row][0] for other in rows) < minimum
            or sum(pairs[other][1] == pairs[row][1] for other in rows) < minimum
        ]
        if not weak:
            return rows
        rows.remove(weak[0])


@given(PAIRS, st.integers(1, 4))
def test_the_core_is_the_largest_fixed_point(pairs, minimum):
    users, items = (np.array([pair[side] for pair in pairs], np.int32) for side in (0, 1))
    assert np.flatnonzero(core_mask(users, items, minimum)).tolist() == brute_force(pairs, minimum)


def test_peeling_goes_on_until_nothing_is_weak():
    # Every removal makes the next row weak: a chain that unravels from its end.
    users = np.array([0, 0, 1, 1, 2, 2], np.int32)
    items = np.array([0, 1, 1, 2, 2, 3], np.int32)
    assert not core_mask(users, items, 2).any()
    assert core_mask(users, items, 1).all()
