"""Files of vectors that somebody else made: what is read from each kind, and what is refused."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tssr.core.errors import TssrError
from tssr.features.external_vectors import read_vectors

VECTORS = np.array([[1, 2], [3, 4], [5, 6]], np.float16)
IDS = ["007", "b", "c d"]


@pytest.fixture
def files(tmp_path):
    """The same vectors in every kind of file."""
    np.save(tmp_path / "v.npy", VECTORS)
    (tmp_path / "ids.txt").write_text("\n".join(IDS) + "\n")
    np.savez(tmp_path / "v.npz", item_id=np.array(IDS), other=np.ones((3, 4)), look=VECTORS)
    table = {"item_id": IDS, "look": VECTORS.astype(np.float32).tolist(), "n": [1, 2, 3]}
    pq.write_table(pa.table(table), tmp_path / "v.parquet")
    (tmp_path / "v.csv").write_text("item_id,x,y\n007,1,2\nb,3,4\nc d,5,6\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "key", "ids"),
    [
        ("v.npy", None, "ids.txt"),
        ("v.npz", "look", None),
        ("v.npz", "look", "ids.txt"),
        ("v.parquet", "look", None),
        ("v.csv", None, "item_id"),
    ],
)
def test_every_kind_gives_the_same_rows(files, name, key, ids):
    found = read_vectors(files / name, key, str(files / ids) if ids == "ids.txt" else ids)
    assert found.ids == IDS
    assert found.vectors.tolist() == VECTORS.tolist()
    assert found.vectors.dtype == (np.float16 if name.startswith("v.np") else np.float32)


def test_an_array_alone_has_no_ids(files):
    assert read_vectors(files / "v.npy", None, None).ids is None


@pytest.mark.parametrize(
    ("name", "key", "ids", "words"),
    [
        ("v.txt", None, None, "must end in .npy, .npz"),
        ("none.npy", None, None, "there is no such file"),
        ("v.npy", "look", None, "holds one array without a name"),
        ("v.npy", None, "nobody", "--ids nobody: neither an array or column"),
        ("v.npz", None, None, "has the arrays item_id, other, look; choose one with --key"),
        ("v.npz", "hook", None, "--key hook: .* has item_id, other, look"),
        ("v.parquet", "hook", None, "--key hook: .* has the columns item_id, look, n"),
        ("v.parquet", None, None, "column look holds list"),
        ("v.csv", None, "sku", "--ids sku: .* has the columns"),
    ],
)
def test_what_is_not_there_is_named(files, name, key, ids, words):
    with pytest.raises(TssrError, match=words):
        read_vectors(files / name, key, ids)


def test_damaged_and_odd_files_are_refused(tmp_path):
    def refused(name, words):
        with pytest.raises(TssrError, match=words) as caught:
            read_vectors(tmp_path / name, None, None)
        assert len(str(caught.value).splitlines()) == 1

    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    refused("cut.npz", "cannot be read")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    refused("cut.parquet", "cannot be read")
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    refused("objects.npy", "cannot be read: Object arrays cannot be loaded")
    np.save(tmp_path / "flat.npy", np.ones(4))
    refused("flat.npy", r"holds float64 of shape \(4,\)")
    np.save(tmp_path / "holes.npy", np.array([[1.0, 2.0], [np.nan, 1.0]]))
    refused("holes.npy", r"row 2: NaN, infinite or too large for float32, as in 1 of 2 rows; correct")
    np.save(tmp_path / "large.npy", np.array([[1e300, 2.0]]))
    refused("large.npy", r"row 1: .* in 1 of 1 rows")
    pq.write_table(pa.table({"item_id": ["a", "b"], "v": [[1.0, 2.0], [3.0]]}), tmp_path / "ragged.parquet")
    refused("ragged.parquet", "the vector of b has 1 numbers, that of a 2")
    (tmp_path / "words.csv").write_text("item_id,x\na,red\n")
    refused("words.csv", "column x holds string, not numbers")
    np.savez(tmp_path / "short.npz", item_id=np.array(["a"]), v=np.ones((2, 2)))
    refused("short.npz", "has 2 vectors, but there are 1 ids")
