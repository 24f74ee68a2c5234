import gzip
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tssr.core.dataset import describe_dataset, load_dataset
from tssr.core.errors import DataError, UsageError
from tssr.core.schema import INTERACTIONS, ITEMS, USERS
from tssr.pipeline.preprocess.settings import PreprocessSettings
from tssr.pipeline.preprocess.stage import preprocess
from tssr.pipeline.raw import blocks

TABLES = ("interactions.parquet", "items.parquet", "users.parquet")


def write_hm(root, *, customers=8, articles=7, pictures=6):
    """Every customer buys every article but one, some twice; the last articles have no picture."""
    names = [f"0{number}23456{number:03d}" for number in range(1, articles + 1)]
    lines = ["t_dat,customer_id,article_id,price,sales_channel_id"]
    for day in range(articles):
        for customer in range(customers):
            if day != customer % articles:
                lines.append(f"2020-09-{day + 1:02d},c{customer},{names[day]},0.01,2")
            if customer == 3:
                lines.append(f"2020-09-{day + 1:02d},c{customer},{names[day]},0.01,2")
    root.mkdir(parents=True, exist_ok=True)
    (root / "transactions_train.csv").write_text("\n".join(lines) + "\n")
    header = "article_id,prod_name,product_type_name,colour_group_name,detail_desc,index_name"
    rows = [f'{name},Top {name},Vest,Black,"Soft.\nWarm.",Ladies' for name in names]
    (root / "articles.csv").write_text("\n".join([header, *rows]) + "\n")
    for name in names[:pictures]:
        path = root / "images" / name[:3] / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"jpg")
    return names


def run(folder, raw=Path("unused"), format_name="hm", *, force=False, **settings):
    options = PreprocessSettings(**{"allow_loss": True, **settings})
    return preprocess(format_name, options, raw, folder, force=force)


def custom(folder, text, mapping, *, items=None, name="log.csv", **settings):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    if items is not None:
        (folder / "items.csv").write_text(items)
        settings["items"] = folder / "items.csv"
    return run(folder / "out", format_name="custom", interactions=folder / name, map=mapping, **settings)


def actions(folder):
    """The tables put together again: (user id, item id, time, position) in the order of the file."""
    table = pl.read_parquet(folder / "interactions.parquet")
    users = dict(pl.read_parquet(folder / "users.parquet").iter_rows())
    items = dict(pl.read_parquet(folder / "items.parquet", columns=["item", "item_id"]).iter_rows())
    return [(users[user], items[item], time, place) for user, item, time, place in table.iter_rows()]


def test_hm_end_to_end(tmp_path):
    names = write_hm(tmp_path / "raw")
    summary = run(tmp_path / "hm", tmp_path / "raw")
    assert summary.data["counts"] == {"users": 8, "items": 6, "actions": 47}
    for name, schema in zip(TABLES, (INTERACTIONS, ITEMS, USERS), strict=True):
        found = pq.read_schema(tmp_path / "hm" / name)
        assert [found.field(field.name) for field in schema] == list(schema)
    items = pl.read_parquet(tmp_path / "hm" / "items.parquet")
    assert items["item"].to_list() == [1, 2, 3, 4, 5, 6]
    assert items["item_id"].to_list() == names[:6]
    assert items["text"][0] == f"Top {names[0]}. Vest. Black. Soft. Warm"
    assert items["image"][0] == f"images/{names[0][:3]}/{names[0]}.jpg"
    assert items["index_name"][0] == "Ladies"
    first = actions(tmp_path / "hm")[:2]
    day = 18506 * 86400
    assert first == [("c0", names[1], day + 86400, 0), ("c0", names[2], day + 2 * 86400, 1)]
    assert describe_dataset(tmp_path / "hm").item_count == 6


def test_the_manifest_says_what_happened(tmp_path):
    write_hm(tmp_path / "raw")
    run(tmp_path / "hm", tmp_path / "raw", users=5)
    manifest = json.loads((tmp_path / "hm" / "manifest.json").read_text())
    assert [(entry["step"], entry["actions"]) for entry in manifest["funnel"]][:3] == [
        ("read", 55),
        ("items without content dropped", 47),
        ("5-core", 47),
    ]
    assert manifest["counts"]["users"] == 5
    assert manifest["window"] == 10
    assert manifest["raw"] == str(tmp_path / "raw")
    assert manifest["table_2"]["paper"]["actions"] == 692413
    assert [Path(entry["file"]).name for entry in manifest["inputs"]["files"]] == [
        "transactions_train.csv",
        "articles.csv",
    ]
    assert manifest["problems"]["lines"] == [
        "1 of 7 pictures are missing in images/ (images/072/0723456007.jpg)"
    ]


def test_missing_content_may_stay(tmp_path):
    write_hm(tmp_path / "raw")
    summary = run(tmp_path / "hm", tmp_path / "raw", keep_missing_content=True)
    assert summary.data["counts"]["items"] == 7
    assert pl.read_parquet(tmp_path / "hm" / "items.parquet")["image"].null_count() == 1


SMALL_BLOCKS = """
import sys
from pathlib import Path
from tssr.pipeline.preprocess import local_engine
from tssr.pipeline.preprocess.stage import preprocess
from tssr.pipeline.preprocess.settings import PreprocessSettings
from tssr.pipeline.raw import blocks
blocks.BLOCK_BYTES, local_engine.PART = 1 << 14, 1000
preprocess("hm", PreprocessSettings(repeats="drop", users=300, allow_loss=True), *map(Path, sys.argv[1:]))
"""


@pytest.mark.parametrize("threads", ["1", "4"])
def test_the_same_bytes_with_any_number_of_threads_and_any_size_of_blocks(tmp_path, threads):
    write_hm(tmp_path / "raw", customers=400, articles=60, pictures=60)
    run(tmp_path / "one", tmp_path / "raw", repeats="drop", users=300)
    subprocess.run(
        [sys.executable, "-c", SMALL_BLOCKS, tmp_path / "raw", tmp_path / "two"],
        check=True,
        env={
            "POLARS_MAX_THREADS": threads,
            "OMP_NUM_THREADS": threads,
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
    )
    for name in TABLES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_nothing_is_done_twice_unless_something_changed(tmp_path):
    names = write_hm(tmp_path / "raw", pictures=7)
    folder = tmp_path / "hm"
    assert not run(folder, tmp_path / "raw").cached
    assert run(folder, tmp_path / "raw").cached
    articles = tmp_path / "raw" / "articles.csv"
    articles.write_bytes(articles.read_bytes())  # another time of change, the same bytes
    assert run(folder, tmp_path / "raw").cached
    assert not run(folder, tmp_path / "raw", force=True).cached
    assert not run(folder, tmp_path / "raw", repeats="consecutive").cached
    assert not run(folder, tmp_path / "raw").cached
    (tmp_path / "raw" / "images" / names[0][:3] / f"{names[0]}.jpg").unlink()
    assert not run(folder, tmp_path / "raw").cached
    (folder / "users.parquet").unlink()
    assert not run(folder, tmp_path / "raw").cached


def test_a_failing_run_leaves_the_old_tables(tmp_path):
    write_hm(tmp_path / "raw")
    run(tmp_path / "hm", tmp_path / "raw")
    before = (tmp_path / "hm" / "manifest.json").read_bytes()
    with pytest.raises(DataError, match="step '99-core' left nothing"):
        run(tmp_path / "hm", tmp_path / "raw", min_actions=99)
    assert (tmp_path / "hm" / "manifest.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hm", "raw"]


def test_a_missing_or_wrong_raw_folder_says_what_is_expected(tmp_path):
    with pytest.raises(
        DataError, match=r"no folder .*nowhere; hm expects transactions_train\.csv, articles\.csv, "
    ):
        run(tmp_path / "hm", tmp_path / "nowhere")
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "news.tsv").touch()
    with pytest.raises(
        DataError, match=r"transactions_train\.csv is not there; .*kaggle.*the folder holds news\.tsv"
    ):
        run(tmp_path / "hm", tmp_path / "wrong")


def test_no_pictures_at_all_name_the_option(tmp_path):
    write_hm(tmp_path / "raw", pictures=0)
    with pytest.raises(
        DataError, match=r"step 'items without content dropped' left nothing.*--keep-missing-content"
    ):
        run(tmp_path / "hm", tmp_path / "raw")


def test_malformed_rows_of_hm(tmp_path):
    write_hm(tmp_path / "raw")
    with (tmp_path / "raw" / "transactions_train.csv").open("a") as file:
        file.write("2020-13-45,c1,0123456001,0.1,2\n2020-09-01,,0123456001,0.1,2\n2020-09-01,c1\n")
    summary = run(tmp_path / "hm", tmp_path / "raw")
    assert summary.data["problems"]["malformed_rows"] == 3
    assert (
        "transactions_train.csv, line 57: t_dat '2020-13-45' is neither a whole number nor an ISO date"
        in summary.data["problems"]["first_malformed"]
    )
    with pytest.raises(DataError, match=r"transactions_train\.csv, line 5[789]: "):
        run(tmp_path / "hm", tmp_path / "raw", strict=True)


def test_custom_rows_keep_exact_times_and_the_order_of_the_file(tmp_path):
    text = "user,item,when\nb,x,16777217\na,y,16777216\na,x,16777216\na,z,16777215\nb,y,16777216\n"
    custom(tmp_path, text, "user=user,item=item,time=when", min_actions=0)
    assert actions(tmp_path / "out") == [
        ("a", "z", 16777215, 0),
        ("a", "y", 16777216, 1),
        ("a", "x", 16777216, 2),
        ("b", "y", 16777216, 0),
        ("b", "x", 16777217, 1),
    ]


def test_without_a_time_the_rows_are_the_order_and_the_manifest_says_so(tmp_path):
    custom(tmp_path, "user,item\na,z\nb,x\na,y\n", "user=user,item=item", min_actions=0)
    assert actions(tmp_path / "out") == [("a", "z", 0, 0), ("a", "y", 2, 1), ("b", "x", 1, 0)]
    order = json.loads((tmp_path / "out" / "manifest.json").read_text())["order"]
    assert order == "row of log.csv (no time is mapped: the timestamps are row numbers)"


LOG = [("b", "x", 3), ("a", "y", 2), ("a", "x", 1)]
EXPECTED = [("a", "x", 1, 0), ("a", "y", 2, 1), ("b", "x", 3, 0)]


def as_csv(separator=","):
    return "\n".join(separator.join(map(str, row)) for row in [("u", "i", "t"), *LOG]) + "\n"


def as_json(values=LOG):
    return "".join(
        json.dumps({"u": user, "i": item, "t": time, "more": [1]}) + "\n" for user, item, time in values
    )


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("log.csv", as_csv()),
        ("log.CSV.gz", gzip.compress(as_csv().encode(), mtime=0)),
        ("log.tsv", as_csv("\t")),
        ("log.jsonl", as_json()),
        ("log.ndjson.gz", gzip.compress(as_json().encode(), mtime=0)),
        ("log.json", as_json([(user, item, str(time)) for user, item, time in LOG])),
    ],
)
def test_custom_formats(tmp_path, name, data):
    custom(tmp_path, data, "user=u,item=i,time=t", name=name, min_actions=0)
    assert actions(tmp_path / "out") == EXPECTED


@pytest.mark.parametrize(
    "times",
    [
        pa.array([3, 2, 1]),
        pa.array([3, 2, 1], pa.int16()),
        pa.array(["3", "2", "1"]),
        pa.array([3, 2, 1], pa.timestamp("s")),
        pa.array([3_900, 2_100, 1_000], pa.timestamp("ms", "UTC")),
    ],
)
def test_custom_parquet(tmp_path, times):
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({"u": ["b", "a", "a"], "i": ["x", "y", "x"], "t": times}), path)
    run(tmp_path / "out", format_name="custom", interactions=path, map="user=u,item=i,time=t", min_actions=0)
    assert actions(tmp_path / "out") == EXPECTED


def test_sequences_one_user_a_line(tmp_path):
    text = "2 7 8 7\n\n1 9\n"
    custom(tmp_path, text, None, name="log.txt", format="sequences", min_actions=0)
    assert actions(tmp_path / "out") == [
        ("1", "9", 3, 0),
        ("2", "7", 0, 0),
        ("2", "8", 1, 1),
        ("2", "7", 2, 2),
    ]


def test_custom_items_join_text_and_drop_what_has_no_content(tmp_path):
    items = (
        "id,title,genres,item,image\nx,  Some  Film. ,Drama,own,p/x.jpg\n"
        "y,,,own,p/none.jpg\nx,Again,,,\nz,Z,,,\n"
    )
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "x.jpg").touch()
    log = "user,id\na,x\na,y\na,z\na,w\n"
    summary = custom(
        tmp_path, log, "user=user,item=id,text=title+genres,image=image", items=items, min_actions=0
    )
    table = pl.read_parquet(tmp_path / "out" / "items.parquet")
    assert table.select("item_id", "text", "image", "source_item", "genres", "source_image").rows() == [
        ("x", "Some Film. Drama", "p/x.jpg", "own", "Drama", "p/x.jpg"),
        ("z", "Z", None, "", "", ""),
    ]
    assert summary.data["problems"]["lines"] == [
        "items.csv: 1 rows of items that occurred before, left out",
        f"1 of 3 pictures are missing in {tmp_path} (p/none.jpg)",
        "1 items of the actions are not in the table of items (w, …)",
    ]
    again = custom(
        tmp_path, log, "user=user,item=id,text=title", items=items, min_actions=0, keep_missing_content=True
    )
    assert again.data["counts"]["items"] == 4


def test_the_rest_of_the_catalogue_is_numbered_after_what_was_acted_on(tmp_path):
    items = "id,title\nm,Middle\nb,New b\nz,Last\nn,\na,New a\n"
    log, mapping = "user,id\na,z\na,m\na,w\n", "user=user,item=id,text=title"
    plain = custom(tmp_path / "plain", log, mapping, items=items, min_actions=0)
    assert plain.data["counts"]["items"] == 2
    whole = custom(tmp_path / "whole", log, mapping, items=items, min_actions=0, whole_catalogue=True)
    table = pl.read_parquet(tmp_path / "whole/out/items.parquet")
    assert table["item_id"].to_list() == ["m", "z", "a", "b"]  # n has no content
    assert table["text"].to_list() == ["Middle", "Last", "New a", "New b"]
    assert whole.data["counts"] == {"users": 1, "items": 4, "actions": 2}
    assert whole.data["funnel"][-1] == {
        "step": "the rest of the catalogue",
        "users": 1,
        "items": 4,
        "actions": 2,
    }
    assert whole.data["table_2"]["this"]["items"] == 2  # those the paper's averages speak of
    written = [(tmp_path / name / "out/interactions.parquet").read_bytes() for name in ("plain", "whole")]
    assert written[0] == written[1]
    with pytest.raises(UsageError, match="--whole-catalogue: custom knows of no items with text or pictures"):
        custom(tmp_path / "none", log, "user=user,item=item", min_actions=0, whole_catalogue=True)


def test_custom_without_items_has_no_content_and_drops_nothing(tmp_path):
    summary = custom(tmp_path, "user,item\na,x\n", "user=user,item=item", min_actions=0)
    assert [entry["step"] for entry in summary.data["funnel"]] == ["read"]
    row = pl.read_parquet(tmp_path / "out" / "items.parquet").row(0)
    assert row == (1, "x", None, None)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("user=user", r"--map lacks item=COLUMN"),
        ("user", r"--map user: write KEY=COLUMN"),
        (
            "user=user,thing=item",
            r"--map thing=item: unknown key 'thing'; keys are user, item, time, text, image",
        ),
        ("user=user,user=item", r"--map user=item: 'user' is given twice"),
        ("user=user,item=user", r"--map: 'user' cannot be two of user, item and time"),
        ("user=user,item=item,text=title", r"--map text=title names a column of items; add --items FILE"),
    ],
)
def test_maps_that_cannot_be_meant(tmp_path, mapping, message):
    with pytest.raises(UsageError, match=message):
        custom(tmp_path, "user,item\na,x\n", mapping)


def test_a_table_is_no_file_of_sequences_and_the_other_way_round(tmp_path):
    with pytest.raises(UsageError, match=r"log\.csv: --format sequences is for files with one user a line"):
        custom(tmp_path, "user,item\na,x\n", None, format="sequences")
    with pytest.raises(UsageError, match=r"a file with one user a line is read with --format sequences"):
        custom(tmp_path, "1 2 3\n", "user=user,item=item", name="log.txt")


def test_options_that_do_not_fit(tmp_path):
    write_hm(tmp_path / "raw")
    with pytest.raises(UsageError, match=r"--map belongs to custom; hm has a fixed layout"):
        run(tmp_path / "hm", tmp_path / "raw", map="user=u")
    with pytest.raises(UsageError, match=r"custom needs --interactions FILE"):
        run(tmp_path / "out", format_name="custom")
    with pytest.raises(UsageError, match=r"--interactions .*none\.csv: there is no such file"):
        run(tmp_path / "out", format_name="custom", interactions=tmp_path / "none.csv", map="user=u,item=i")
    with pytest.raises(UsageError, match=r"--interactions .*log\.xls: the name must end in \.csv, \.tsv"):
        custom(tmp_path, "x", "user=u,item=i", name="log.xls")
    with pytest.raises(UsageError, match=r"log\.parquet\.gz: Parquet is compressed inside"):
        custom(tmp_path, "x", "user=u,item=i", name="log.parquet.gz")


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("user,item\n", "log.csv", r"log\.csv has no actions$"),
        (
            "user,item\n,x\n",
            "log.csv",
            r"log\.csv has no actions; 1 malformed row dropped: .*line 2: user is empty",
        ),
        ("user,thing\na,x\n", "log.csv", r"log\.csv has no column 'item'; it has user, thing"),
        ('{"user": "a"}\n', "log.jsonl", r"log\.jsonl has no column 'item'; it has user"),
        (
            "[1]\n",
            "log.jsonl",
            r"log\.jsonl has no actions; 1 malformed row .*line 1: is no JSON object but list",
        ),
        ("PAR1", "log.parquet", r"log\.parquet is no readable Parquet file"),
    ],
)
def test_logs_that_hold_nothing(tmp_path, text, name, message):
    with pytest.raises(DataError, match=message):
        custom(tmp_path, text, "user=user,item=item", name=name)


def test_empty_items_and_pictures_outside(tmp_path):
    log, mapping = "user,id\na,x\n", "user=user,item=id,image=image"
    with pytest.raises(DataError, match=r"items\.csv has no items"):
        custom(tmp_path, log, mapping, items="id,image\n", min_actions=0)
    with pytest.raises(DataError, match=r"left nothing.*1 pictures are no paths within .* '\.\./x\.jpg'"):
        custom(tmp_path, log, mapping, items="id,image\nx,../x.jpg\n", min_actions=0)


def test_a_user_without_items_and_broken_lines_in_sequences(tmp_path):
    summary = custom(
        tmp_path, b"1 2 3\n4\n5 \xff\n6 a\0b\n", None, name="log.txt", format="sequences", min_actions=0
    )
    assert summary.data["problems"]["first_malformed"] == [
        "log.txt, line 2: user '4' has no item",
        "log.txt, line 3: is not UTF-8",
        "log.txt, line 4: holds a NUL byte",
    ]


def test_broken_json_lines_are_counted_with_their_line(tmp_path):
    text = (
        as_json()
        + '{"u": "a", "i"\n\n{"u": "a", "i": "w", "t": 99999999999999999999}\n{"u": null, "i": "w", "t": 1}\n'
    )
    summary = custom(tmp_path, text, "user=u,item=i,time=t", name="log.jsonl", min_actions=0)
    assert summary.data["counts"]["actions"] == 3
    assert summary.data["problems"]["first_malformed"] == [
        "log.jsonl, line 4: is no JSON object (JSONDecodeError)",
        "log.jsonl, line 7: u is empty",
        "log.jsonl, line 6: t '99999999999999999999' is neither a whole number nor an ISO date",
    ]


def test_positions_count_up_within_each_user(tmp_path):
    write_hm(tmp_path / "raw")
    run(tmp_path / "hm", tmp_path / "raw")
    table = pl.read_parquet(tmp_path / "hm" / "interactions.parquet")
    for _, part in table.group_by("user"):
        assert part["position"].to_list() == list(range(len(part)))
        assert np.all(np.diff(part["timestamp"].to_numpy()) >= 0)


SPLIT_LOG = "user,item,time\n" + "".join(
    f"u{user},i{item},2020-01-{day:02d}\n"
    for user, days in enumerate([(1, 8, 9), (1, 2, 9, 10), (9, 10), (1, 2, 8)])
    for item, day in enumerate(days)
)


def time_split(tmp_path, **settings):
    return custom(
        tmp_path, SPLIT_LOG, "user=user,item=item,time=time", min_actions=0, split="time", **settings
    )


def test_a_global_time_split(tmp_path):
    summary = time_split(tmp_path, test_from="2020-01-09")
    day = 86400
    assert summary.data["split"] == {
        "kind": "time",
        "validation_from": (18262 + 7) * day - 1,
        "test_from": (18262 + 8) * day,
        "users_asked": {"validation": 2, "test": 2},
    }
    split = load_dataset(describe_dataset(tmp_path / "out")).split()
    assert split.train.lengths.tolist() == [1, 2, 0, 2]
    assert split.validation.users.tolist() == [0, 3]
    assert split.test.users.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"test_from": "soon"}, UsageError, r"--test-from soon: write an ISO date such as 2020-09-15"),
        (
            {"test_from": "2020-01-09", "validation_from": "2020-01-09"},
            UsageError,
            r"--validation-from must lie",
        ),
        (
            {"test_from": "2021-01-01"},
            DataError,
            r"--test-from: no user acts both before and in the test part",
        ),
        (
            {"test_from": "2020-01-09", "validation_from": "1999-01-01"},
            DataError,
            r"--validation-from: no user acts both before and in the validation part",
        ),
    ],
)
def test_time_splits_that_ask_nobody(tmp_path, settings, error, message):
    with pytest.raises(error, match=message):
        time_split(tmp_path, **settings)


@pytest.mark.parametrize("line", ["null", "nullnull", ' {"u": "a"} {"u": "b"}', "5", '{"u": "a"} null'])
def test_a_json_line_that_is_not_one_object_is_counted_wherever_it_stands(tmp_path, line):
    for text in (as_json() + line + "\n", as_json(LOG[:1]) + line + "\n" + as_json(LOG[1:])):
        summary = custom(tmp_path, text, "user=u,item=i,time=t", name="log.jsonl", min_actions=0)
        assert actions(tmp_path / "out") == EXPECTED
        assert summary.data["problems"]["malformed_rows"] == 1


def test_a_json_file_without_any_object(tmp_path):
    with pytest.raises(
        DataError, match=r"log\.jsonl has no actions; 2 malformed rows dropped: log\.jsonl, line 1"
    ):
        custom(tmp_path, "null\nnull\n", "user=u,item=i", name="log.jsonl")


@pytest.mark.parametrize("wrong", [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xe2\x82"])
@pytest.mark.parametrize("field", ["u", "t", "unread"])
def test_json_lines_that_are_not_utf_8_are_counted(tmp_path, wrong, field):
    broken = json.dumps({"u": "a", "i": "x", "t": "5", "unread": "", field: "@"}).encode()
    text = as_json([(user, item, str(time)) for user, item, time in LOG]).encode()
    text += broken.replace(b"@", wrong) + b"\n"
    summary = custom(tmp_path, text, "user=u,item=i,time=t", name="log.jsonl", min_actions=0)
    assert actions(tmp_path / "out") == EXPECTED
    assert summary.data["problems"]["first_malformed"] == ["log.jsonl, line 4: is not UTF-8"]


def test_a_parquet_string_that_is_not_utf_8(tmp_path):
    broken = pa.array([b"a", b"\xff"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"u": broken, "i": ["x", "y"]}), tmp_path / "log.parquet")
    with pytest.raises(DataError, match=r"log\.parquet, row 1 on: .*Invalid UTF8"):
        run(
            tmp_path / "out", interactions=tmp_path / "log.parquet", format_name="custom", map="user=u,item=i"
        )


@pytest.mark.parametrize(
    ("suffix", "name", "fault"),
    [
        ("jsonl", "n\0", "holds a NUL byte"),
        ("jsonl", "n\ud800", "holds half a surrogate pair, which is no text"),
        ("parquet", "n\0", "holds a NUL byte"),
    ],
)
def test_a_column_of_items_whose_name_is_no_text(tmp_path, suffix, name, fault):
    path = tmp_path / f"items.{suffix}"
    if suffix == "jsonl":
        path.write_text(json.dumps({"u": "a", "i": "x", name: 1}) + "\n")
    else:
        pq.write_table(pa.table({"u": ["a"], "i": ["x"], name: [1]}), path)
    with pytest.raises(DataError, match=rf"items\.{suffix}: the column name .* {fault}; rename the column"):
        run(tmp_path / "out", interactions=path, items=path, format_name="custom", map="user=u,item=i")


@pytest.mark.parametrize("block", [8 << 20, 48])
@pytest.mark.parametrize("places", [(50,), (50, 250), (50, 51, 52)])
def test_a_stray_quote_takes_no_other_row_with_it(tmp_path, monkeypatch, places, block):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
    quote = '"'
    rows = [f"u{n % 20},i{n % 15},{quote * (n in places)}x,{n}" for n in range(300)]
    text = "\n".join(["u,i,n,t", *rows]) + "\n"
    summary = custom(tmp_path, text, "user=u,item=i,time=t", min_actions=0)
    assert {time for *_, time, _ in actions(tmp_path / "out")} == set(range(300)) - set(places)
    problems = summary.data["problems"]
    assert problems["malformed_rows"] == len(places)
    assert problems["first_malformed"][0] == (
        "log.csv, line 52: has a quote within a field, or one that is never closed"
    )
    with pytest.raises(DataError, match=r"log\.csv, line 52: has a quote within"):
        custom(tmp_path, text, "user=u,item=i,time=t", min_actions=0, strict=True, force=True)


def test_the_same_words_in_another_folder_mean_other_files(tmp_path, monkeypatch):
    out = tmp_path / "out"
    for name, rows in (("one", "a,x\na,y\n"), ("two", "b,x\nb,y\nb,z\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.csv").write_text("u,i\n" + rows)
        monkeypatch.chdir(tmp_path / name)
        settings = {"interactions": Path("log.csv"), "map": "user=u,item=i", "min_actions": 0}
        run(out, format_name="custom", **settings)
        assert {user for user, *_ in actions(out)} == {rows[0]}


def test_a_run_that_leaves_nothing_says_what_was_noticed_on_the_way(tmp_path):
    text = "u,i\n" + "".join(f"u{n},x{n}\n" for n in range(9)) + "u,\n"
    with pytest.raises(DataError, match="left nothing") as caught:
        custom(tmp_path, text, "user=u,item=i,text=title", items="i,title\nx0,\n")
    assert "; try --keep-missing-content; 1 malformed row dropped: " in str(caught.value)
    assert "8 items of the actions are not in the table of items (x1, …)" in str(caught.value)


def test_ids_of_parquet_beyond_int64(tmp_path):
    users = pa.array([2**63 + 5, 2**63 + 5, 7], pa.uint64())
    pq.write_table(pa.table({"u": users, "i": pa.array([1, 2, 1], pa.uint64())}), tmp_path / "log.parquet")
    files = {"interactions": tmp_path / "log.parquet", "format_name": "custom", "map": "user=u,item=i"}
    run(tmp_path / "out", **files, min_actions=0)
    assert pq.read_table(tmp_path / "out" / "users.parquet")["user_id"].to_pylist() == ["7", str(2**63 + 5)]


def test_a_parquet_column_that_is_no_text_is_named(tmp_path):
    pq.write_table(pa.table({"u": [{"a": 1}], "i": ["x"]}), tmp_path / "log.parquet")
    with pytest.raises(
        DataError, match=r"log\.parquet, row 1 on: column u is no text .*; convert the column"
    ):
        run(
            tmp_path / "out", interactions=tmp_path / "log.parquet", format_name="custom", map="user=u,item=i"
        )


def test_columns_of_items_named_like_those_of_the_table_keep_their_words(tmp_path):
    items = "i,text,source_text,item\nx,one,two,three\n"
    custom(tmp_path, "u,i\na,x\n", "user=u,item=i,text=text", items=items, min_actions=0)
    (row,) = pq.read_table(tmp_path / "out" / "items.parquet").to_pylist()
    assert (row["text"], row["source_text"], row["source_source_text"]) == ("one", "two", "one")
    assert (row["item"], row["source_item"]) == (1, "three")


@pytest.mark.parametrize("path", ["/p/3.jpg", "../p/3.jpg", "x" * 5000 + "/3.jpg", "a\u2028/3.jpg"])
def test_one_bad_picture_path_costs_its_own_picture(tmp_path, path):
    (tmp_path / "1.jpg").touch()
    items = f"id,image\nx,1.jpg\ny,{path}\n"
    custom(tmp_path, "user,id\na,x\na,y\n", "user=user,item=id,image=image", items=items, min_actions=0)
    assert [item for _, item, *_ in actions(tmp_path / "out")] == ["x"]


FRACTIONS = ["2024-05-01T09:30:00.900Z", "2024-05-01T09:30:00.100Z", "2024-05-01T09:30:01.000Z"]


def test_times_that_are_cut_to_seconds_are_counted(tmp_path):
    rows = "".join(f"u,{item},{time}\n" for item, time in zip("abc", FRACTIONS, strict=True))
    summary = custom(tmp_path, "user,item,time\n" + rows, "user=user,item=item,time=time", min_actions=0)
    (note,) = summary.data["problems"]["lines"]
    assert note.startswith("2 times of log.csv are cut to whole seconds, and actions within a second keep")
    stamps = pa.array([900, 100, 1000], pa.timestamp("ms"))
    pq.write_table(pa.table({"u": ["a"] * 3, "i": ["x", "y", "z"], "t": stamps}), tmp_path / "log.parquet")
    files = {"interactions": tmp_path / "log.parquet", "format_name": "custom", "map": "user=u,item=i,time=t"}
    (note,) = run(tmp_path / "out", **files, min_actions=0).data["problems"]["lines"]
    assert note.startswith("2 times of log.parquet are cut")


def test_a_file_that_came_later_is_seen(tmp_path):
    write_hm(tmp_path / "raw")
    folder = tmp_path / "hm"
    assert not run(folder, tmp_path / "raw").cached
    assert run(folder, tmp_path / "raw").cached
    (tmp_path / "raw" / ".DS_Store").touch()
    assert run(folder, tmp_path / "raw").cached
    (tmp_path / "raw" / "more.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    assert not run(folder, tmp_path / "raw").cached, "pictures may come from any archive"
    table = folder / "items.parquet"
    table.write_bytes(bytes(table.stat().st_size))
    assert not run(folder, tmp_path / "raw").cached, "a table is not what was written"


def test_dates_of_a_config_file(tmp_path):
    settings = PreprocessSettings(split="time", test_from=date(2020, 9, 22), validation_from=7)
    assert (settings.test_from, settings.validation_from) == ("2020-09-22", "7")


def test_a_list_nested_without_end_costs_its_own_line(tmp_path):
    deep = "[" * 900 + "]" * 900
    text = f'{{"u": "a", "i": "x"}}\n{{"u": {deep}, "i": "y"}}\n{{"u": "a", "i": "z"}}\n'
    summary = custom(tmp_path, text, "user=u,item=i", name="log.jsonl", min_actions=0)
    assert [item for _, item, *_ in actions(tmp_path / "out")] == ["x", "z"]
    assert summary.data["problems"]["first_malformed"] == [
        "log.jsonl, line 2: has a list that is nested too deeply"
    ]


def test_posters_that_come_beside_the_tables_are_seen(tmp_path):
    folder = tmp_path / "raw" / "ml-20m"
    folder.mkdir(parents=True)
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,3,5,7\n")
    (folder / "movies.csv").write_text("movieId,title,genres\n3,Film,Drama\n")
    make = {"raw": tmp_path / "raw", "format_name": "movielens", "min_actions": 0}
    run(tmp_path / "ml", **make)
    assert run(tmp_path / "ml", **make).cached
    (folder / "posters").mkdir()
    (folder / "posters" / "3.jpg").touch()
    assert not run(tmp_path / "ml", **make).cached
    assert run(tmp_path / "ml", **make).cached


def test_a_config_file_names_the_data_set_too(tssr, tmp_path):
    (tmp_path / "log.csv").write_text("user,item\na,x\n")
    config = tmp_path / "shop.toml"
    config.write_text('[preprocess]\ndataset = "shop"\nmin-actions = 0\nmap = "user=user,item=item"\n')
    command = ("preprocess", "custom", "--interactions", tmp_path / "log.csv", "--config", config)
    assert tssr(*command).code == 0
    assert tssr(*command, "--dataset", "other").code == 0
    assert sorted(path.name for path in (tmp_path / "workspace/datasets").iterdir()) == ["other", "shop"]
