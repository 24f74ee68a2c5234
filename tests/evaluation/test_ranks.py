import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tssr.core.errors import ArtifactError
from tssr.evaluation.ranking import Ranks
from tssr.evaluation.ranks import read_ranks, write_ranks

RANKS = Ranks(
    users=np.array([3, 4, 9], np.int32),
    targets=np.array([7, 1, 7], np.int32),
    by_mask={"none": np.array([1.0, 2.5, np.nan]), "hard": np.array([np.nan, 100.0, np.nan])},
    depth=120,
)


def test_ranks_come_back(tmp_path):
    path = tmp_path / "ranks.parquet"
    write_ranks(path, RANKS)
    found = read_ranks(path)
    assert (found.users.tolist(), found.targets.tolist(), found.depth) == ([3, 4, 9], [7, 1, 7], 120)
    assert found.users.dtype == found.targets.dtype == np.int32
    assert list(found.by_mask) == ["none", "hard"]
    for mask, ranks in RANKS.by_mask.items():
        np.testing.assert_array_equal(found.by_mask[mask], ranks)
    assert [file.name for file in tmp_path.iterdir()] == ["ranks.parquet"]


def test_what_lies_beyond_is_null_and_not_nan(tmp_path):
    write_ranks(tmp_path / "ranks.parquet", RANKS)
    table = pq.read_table(tmp_path / "ranks.parquet")
    assert table.column_names == ["user", "target", "rank_none", "rank_hard"]
    assert table["rank_hard"].to_pylist() == [None, 100.0, None]


def test_the_same_ranks_are_the_same_bytes(tmp_path):
    write_ranks(tmp_path / "one", RANKS)
    write_ranks(tmp_path / "two", RANKS)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_bad_files_say_what_makes_them_again(tmp_path):
    path = tmp_path / "ranks.parquet"
    with pytest.raises(ArtifactError, match=r"ranks.parquet is missing; .*tssr evaluate --force"):
        read_ranks(path)
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(ArtifactError, match=r"ranks.parquet is damaged \(.*tssr evaluate --force"):
        read_ranks(path)
    pq.write_table(pa.table({"user": [1]}), path)
    with pytest.raises(ArtifactError, match=r"ranks.parquet is damaged \(.*tssr evaluate --force"):
        read_ranks(path)
