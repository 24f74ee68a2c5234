"""The counts that the real samples must give."""

from pathlib import Path

import pytest

from tssr.core.errors import DataError
from tssr.pipeline.preprocess.settings import PreprocessSettings
from tssr.pipeline.preprocess.stage import preprocess
from tssr.pipeline.raw.amazon import Toy

DATA = Path(__file__).parents[4] / "shared" / "data"

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


@pytest.mark.parametrize(
    ("repeats", "expected"),
    [
        ("keep", (4089, 5944, 124964)),
        ("consecutive", (4082, 5936, 124305)),
        ("drop", (4080, 5906, 122896)),
    ],
)
def test_mind(tmp_path, repeats, expected):
    options = {"repeats": repeats, "keep_missing_content": True}
    assert counts(tmp_path, "mind", DATA / "mind-sample", **options) == expected


@pytest.mark.parametrize(("repeats", "expected"), [("keep", (456, 147, 2960)), ("drop", (453, 147, 2941))])
def test_gift_cards(tmp_path, monkeypatch, repeats, expected):
    monkeypatch.setattr(Toy, "category", "Gift_Cards")
    options = {"repeats": repeats, "keep_missing_content": True}
    assert counts(tmp_path, "toy", DATA / "amazon-sample", **options) == expected


def test_the_cut_off_line_of_yelp_is_named(tmp_path):
    options = PreprocessSettings(min_actions=0, keep_missing_content=True)
    summary = preprocess("yelp", options, DATA / "yelp-sample", tmp_path / "out")
    assert summary.data["counts"]["actions"] == 3610
    assert "yelp_academic_dataset_review.json, line 3611" in summary.data["problems"]["lines"][0]
