"""The atomic files of RecBole: tabs, quotes as they are, and a type behind each name of the header."""

import pytest

from tssr.core.errors import UsageError
from tssr.pipeline.preprocess.settings import PreprocessSettings
from tssr.pipeline.preprocess.stage import preprocess

INTER = (
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "196\t242\t3\t881250949\n186\t302\t3.5\t891717742.0\n196\t302\t1\t881250948.0\n"
)
ITEM = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    '242\tKolya "the boy"\t1996\tComedy\n302\tL.A. Confidential\t1997\tCrime Film-Noir\n'
)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "ml.inter").write_text(INTER)
    (tmp_path / "ml.item").write_text(ITEM)
    return {"interactions": tmp_path / "ml.inter", "items": tmp_path / "ml.item"}


ACTIONS = [("186", "302", 891717742), ("196", "302", 881250948), ("196", "242", 881250949)]


def test_they_need_no_map(files, read):
    found = read("custom", **files, strict=True)
    assert found.actions == ACTIONS
    assert found.items["242"]["text"] == 'Kolya "the boy". Comedy'
    assert found.items["302"]["release_year"] == "1997"


def test_a_map_names_columns_without_their_types(files, read):
    mapping = "user=user_id,item=item_id,time=timestamp,text=movie_title"
    found = read("custom", **files, map=mapping)
    assert found.actions == ACTIONS
    assert found.items["302"]["text"] == "L.A. Confidential"


def test_a_tsv_with_such_a_header_is_one_too(tmp_path, read):
    (tmp_path / "log.tsv").write_text(INTER)
    assert read("custom", interactions=tmp_path / "log.tsv").actions == ACTIONS


def test_without_items_and_without_times(tmp_path, read):
    (tmp_path / "a.inter").write_text("user_id:token\titem_id:token\nu\ti\nu\tj\n")
    assert read("custom", interactions=tmp_path / "a.inter").actions == [("u", "i", 0), ("u", "j", 1)]


@pytest.mark.parametrize("header", ["who:token\titem_id:token", "user_id\titem_id"])
def test_other_names_need_a_map(tmp_path, header):
    (tmp_path / "a.inter").write_text(header + "\nu\ti\n")
    with pytest.raises(UsageError, match=r"--map lacks .*=COLUMN"):
        preprocess(
            "custom", PreprocessSettings(interactions=tmp_path / "a.inter"), tmp_path, tmp_path / "out"
        )
