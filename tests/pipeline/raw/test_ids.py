import itertools

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tssr.pipeline.raw.ids import IdCoder

BATCHES = st.lists(st.lists(st.sampled_from(["", "a", "B", "ü", "\U0001f600", "\uffee"]), max_size=8))


def as_strings(ids):
    return pa.array(ids, pa.string())


def as_dictionary(ids):
    """The ids as places in a dictionary that also holds the words twice, in another order."""
    words = [*reversed(ids), *ids]
    places = pa.array(np.arange(len(ids), 2 * len(ids)), pa.uint32())
    return pa.DictionaryArray.from_arrays(places, as_strings(words))


@given(BATCHES, st.sampled_from([as_strings, as_dictionary]))
def test_codes_name_ids_across_batches(batches, written):
    coder = IdCoder()
    codes = [coder.codes(written(batch)).tolist() for batch in batches]
    ids, ranks = coder.ordered()
    assert ids.to_list() == sorted(set(itertools.chain(*batches)), key=str.encode)
    found = [[ids[int(ranks[code])] for code in batch] for batch in codes]
    assert found == batches


@given(BATCHES)
def test_newcomers_are_marked_once_over_all_batches(batches):
    coder, seen = IdCoder(), set()
    for batch in batches:
        expected = []
        for name in batch:
            expected.append(name not in seen)
            seen.add(name)
        assert coder.newcomers(as_strings(batch)).tolist() == expected
