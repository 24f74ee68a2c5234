"""The counts that the real samples must give."""

from pathlib import Path

import pytest

from tssr.core.errors import DataError
from tssr.pipeline.preprocess import preprocess
from tssr.pipeline.preprocess_settings import PreprocessSettings

DATA = Path(__file__).parents[3] / "shared" / "data"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not DATA.is_dir(), reason="the real samples (shared/data beside the repository) are absent"
    ),
]


def counts(tmp_path, format_name, raw=DATA, **settings):
    summary = preprocess(format_name, PreprocessSettings(**settings), raw, tmp_path / "out")
    found = summary.data["counts"]
    return found["users"], found["items"], found["actions"]


@pytest.mark.parametrize("keep", [True, False])
def test_hm(tmp_path, keep):
    # Every item of the core is among the 2,000 most bought, which have pictures.
    assert counts(tmp_path, "hm", DATA / "hm-sample", keep_missing_content=keep) == (342, 610, 4463)


def test_hm_without_repeats_is_empty(tmp_path):
    with pytest.raises(DataError, match=r"step '5-core' left nothing .*repeats dropped: \d.*--repeats keep"):
        counts(tmp_path, "hm", DATA / "hm-sample", repeats="drop")


def test_movielens_1m_in_sasrec_order(tmp_path):
    folder = DATA / "movielens-1m"
    found = counts(
        tmp_path,
        "custom",
        interactions=folder / "interactions.csv.gz",
        items=folder / "items.csv",
        map="user=user_id,item=item_id,time=position,text=title+genres,image=image",
    )
    assert found == (6040, 3416, 999611)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Toys_and_Games", (19412, 11924, 167597)), ("Beauty", (22363, 12101, 198502))],
)
def test_s3rec(tmp_path, name, expected):
    path = DATA / "s3rec" / f"{name}.txt"
    assert counts(tmp_path, "custom", interactions=path, format="sequences") == expected
