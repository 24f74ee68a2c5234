import zipfile

import pytest

from tssr.core.errors import DataError

NOON = "11/12/2019 12:00:00 PM"  # 1573560000
NIGHT = "11/12/2019 12:30:00 AM"  # 1573518600

TRAIN = (
    f"1\tU1\t{NOON}\tN9 N2 N9\tN1-0 N3-1\n"
    f"2\tU1\t{NIGHT}\tN9 N2 N9\tN4-1 N1-0 N5-1\n"
    f"3\tU2\t11/9/2019 1:02:03 PM\t\tN10-1 N1-0\n"
    f"4\tU3\t{NOON}\tN2\tN1-0\n"
)
NEWS = 'N{0}\tsports\tgolf\tA "title" {0}\tWhat.\thttps://x\t[]\t[]\n'


def news(*numbers):
    return "".join(NEWS.format(number) for number in numbers)


def test_history_first_and_once_then_clicks_in_time_order(raw, read):
    raw({"MINDsmall_train/behaviors.tsv": TRAIN, "MINDsmall_train/news.tsv": news(1, 2)})
    found = read("mind")
    assert found.actions == [
        ("U1", "N9", 0),
        ("U1", "N2", 0),
        ("U1", "N9", 0),
        ("U1", "N4", 1573518600),
        ("U1", "N5", 1573518600),
        ("U1", "N3", 1573560000),
        ("U2", "N10", 1573304523),
        ("U3", "N2", 0),
    ]
    assert found.items["N2"]["text"] == 'A "title" 2'
    assert found.items["N2"]["abstract"] == "What."
    assert found.items["N9"]["text"] is None
    assert found.problems == ["5 items of the actions are not in the table of items (N10, …)"]


def test_other_parts_add_clicks_and_only_the_histories_of_new_users(raw, read):
    dev = f"1\tU3\t{NOON}\tN2 N7\tN8-1\n2\tU4\t{NOON}\tN2\tN1-0\n"
    test = f"1\tU4\t{NOON}\tN9\tN1 N2\n2\tU5\t{NOON}\tN8\tN1\n"
    raw(
        {
            "MINDsmall_train/behaviors.tsv": TRAIN,
            "MINDsmall_train/news.tsv": news(1, 2),
            "MINDsmall_dev/behaviors.tsv": dev,
            "MINDsmall_dev/news.tsv": news(2, 8),
            "MINDsmall_test/behaviors.tsv": test,
            "MINDsmall_test/news.tsv": news(8),
        }
    )
    found = read("mind")
    assert found.actions[-4:] == [("U3", "N2", 0), ("U3", "N8", 1573560000), ("U4", "N2", 0), ("U5", "N8", 0)]
    assert found.items["N8"]["text"] == 'A "title" 8'


def test_the_large_set_goes_before_the_small_and_zips_are_read_in_place(raw, read):
    folder = raw({"MINDsmall_train/behaviors.tsv": TRAIN, "MINDsmall_train/news.tsv": news(1)})
    with zipfile.ZipFile(folder / "MINDlarge_train.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("behaviors.tsv", f"1\tU7\t{NOON}\tN1 N2\tN3-1\n")
        archive.writestr("news.tsv", news(1))
    assert [action[:2] for action in read("mind").actions] == [("U7", "N1"), ("U7", "N2"), ("U7", "N3")]


def test_a_folder_that_holds_the_two_files_itself(raw, read):
    raw({"behaviors.tsv": TRAIN, "news.tsv": news(1)})
    assert len(read("mind").actions) == 8


def test_malformed_rows(raw, read):
    behaviors = TRAIN + f"5\tU8\tyesterday\tN1\tN2-1\n6\t\t{NOON}\tN1\tN2-1\n7\tU8\t{NOON}\tN1\n"
    raw({"behaviors.tsv": behaviors, "news.tsv": news(1)})
    found = read("mind")
    assert len(found.actions) == 8
    assert found.problems[0] == (
        "3 malformed rows dropped: behaviors.tsv, line 7: has 4 fields, expected 5; "
        "behaviors.tsv, line 6: user_id is empty; behaviors.tsv, line 5: time 'yesterday' is no time "
        "(42.9 % of behaviors.tsv)"
    )


def test_a_part_without_news_and_a_folder_of_another_set(raw, read):
    folder = raw({"MINDsmall_train/behaviors.tsv": TRAIN})
    with pytest.raises(
        DataError, match=r"MINDsmall_train has no news\.tsv; mind expects MINDlarge_train/beh"
    ):
        read("mind")
    (folder / "MINDsmall_train" / "behaviors.tsv").rename(folder / "transactions_train.csv")
    with pytest.raises(DataError, match=r"behaviors\.tsv is not there; .* and looks like hm$"):
        read("mind")


def test_parts_that_are_not_read_are_named(raw, read):
    part = {"behaviors.tsv": TRAIN, "news.tsv": news(1, 2)}
    names = ("MINDsmall_train", "MINDsmall_dev", "MINDlarge_dev")
    folder = raw({f"{name}/{file}": text for name in names for file, text in part.items()})
    assert read("mind").problems[:2] == [
        "MINDsmall_train is not read: the parts of MINDlarge are",
        "MINDsmall_dev is not read: the parts of MINDlarge are",
    ]
    alone = read("mind", folder / "MINDsmall_train").problems
    assert alone[0] == f"MINDlarge_dev beside it is not read; --raw {folder} reads all parts"
    assert len([why for why in alone if "is not read" in why]) == 2


def test_news_that_come_again_with_another_title_are_counted(raw, read):
    told = news(1, 2) + news(2).replace("title", "headline")
    raw({"MINDsmall_train/behaviors.tsv": TRAIN, "MINDsmall_train/news.tsv": told})
    found = read("mind")
    assert found.items["N2"]["text"] == 'A "title" 2'
    assert "1 news come again with another title; their first is kept" in found.problems


def test_half_a_small_set_does_not_hinder_the_large_one(raw, read):
    raw(
        {
            "MINDlarge_train/behaviors.tsv": TRAIN,
            "MINDlarge_train/news.tsv": news(1),
            "MINDsmall_dev/news.tsv": news(1),
        }
    )
    assert read("mind").problems[0] == "MINDsmall_dev is not read: the parts of MINDlarge are"
