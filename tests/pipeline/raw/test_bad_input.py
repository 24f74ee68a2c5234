"""What bad input gets from the public command: one line with file and row, and nothing half-written."""

import gzip
import json

import pytest

HEADER = b"t_dat,customer_id,article_id,price,sales_channel_id\n"
ROWS = b"2018-09-20,c1,0108775015,0.1,2\n2018-09-21,c1,0108775044,0.1,2\n"
ARTICLES = (
    b"article_id,prod_name,product_type_name,colour_group_name,detail_desc\n"
    b"0108775015,Top,Vest,Black,Soft\n0108775044,Top,Vest,White,Soft\n"
)
TABLE = "transactions_train.csv"
REVIEW = {"user_id": "u", "business_id": "b", "date": "2018-07-07 22:09:11", "text": ""}
REVIEWS, BUSINESSES = "yelp_academic_dataset_review.json", "yelp_academic_dataset_business.json"
LONG = 100 << 20


def lines(*objects):
    return "".join(json.dumps(value) + "\n" for value in objects).encode()


def hm(transactions, name=TABLE):
    return {name: transactions, "articles.csv": ARTICLES}


def yelp(reviews):
    return {
        REVIEWS: reviews,
        BUSINESSES: lines(
            {"business_id": "b", "name": "Bar", "categories": None, "city": "X", "state": "CA"}
        ),
    }


def mind(behaviors):
    return {"behaviors.tsv": behaviors, "news.tsv": b"N1\tsports\tgolf\tTitle\tAbstract\thttps://x\t[]\t[]\n"}


@pytest.fixture
def outcome(tssr, raw, tmp_path):
    """Run `tssr preprocess` on a dump; nothing may be left but the finished data set."""

    def run(format_name, files, *options):
        found = tssr(
            "preprocess",
            format_name,
            "--raw",
            raw(files),
            "--workspace",
            tmp_path / "ws",
            "--keep-missing-content",
            "--allow-loss",
            "--min-actions",
            "0",
            "--json",
            *options,
        )
        datasets = tmp_path / "ws" / "datasets"
        left = [path.name for path in datasets.iterdir()] if datasets.exists() else []
        assert left == ([format_name] if found.code == 0 else [])
        return found

    return run


FATAL = {
    "an H&M folder given to mind": (
        "mind",
        hm(HEADER + ROWS),
        r"behaviors.tsv is not there; mind expects MINDlarge_train/behaviors.tsv, ",
    ),
    "another delimiter": (
        "hm",
        hm((HEADER + ROWS).replace(b",", b";")),
        f"{TABLE} has no column 't_dat'; it has t_dat;customer_id",
    ),
    "a missing column": (
        "hm",
        hm(HEADER.replace(b"customer_id", b"customer") + ROWS),
        f"{TABLE} has no column 'customer_id'; it has t_dat, customer, ",
    ),
    "a missing field of JSON": (
        "yelp",
        yelp(lines({"user_id": "u", "business_id": "b"})),
        f"{REVIEWS} has no column 'date'; it has user_id, business_id",
    ),
    "a duplicate header": (
        "hm",
        hm(HEADER.replace(b"price", b"t_dat") + ROWS),
        f"{TABLE}, line 1: column 't_dat' occurs 2 times",
    ),
    "an empty table": ("hm", hm(b""), f"{TABLE} is empty"),
    "an empty JSON file": ("yelp", yelp(b""), f"{REVIEWS} is empty"),
    "an empty TSV": ("mind", mind(b""), "behaviors.tsv is empty"),
    "a header alone": ("hm", hm(HEADER), f"{TABLE} has no actions"),
    "NUL bytes in the header": (
        "hm",
        hm(HEADER.replace(b"price", b"p\0") + ROWS),
        f"{TABLE}, line 1: the header is not plain UTF-8 text",
    ),
    "UTF-16": (
        "hm",
        hm((HEADER + ROWS).decode().encode("utf-16")),
        f"{TABLE} is UTF-16 text; save it as UTF-8",
    ),
    "a gz cut in the middle": (
        "hm",
        hm(gzip.compress(HEADER + ROWS * 9, mtime=0)[:-20], f"{TABLE}.gz"),
        f"{TABLE}.gz: damaged or cut off somewhere after line ",
    ),
    "a number too large, when strict": (
        "hm",
        hm(HEADER + ROWS + ROWS[:31].replace(b"2018-09-20", b"9" * 30)),
        f"{TABLE}, line 4: t_dat '{'9' * 30}' is neither a whole number nor an ISO date (mend the row",
    ),
}


@pytest.mark.parametrize("what", FATAL)
def test_one_line_and_nothing_written(outcome, what):
    format_name, files, message = FATAL[what]
    found = outcome(format_name, files, *(["--strict"] if "strict" in what else []))
    assert found.code == 1
    assert found.out == ""
    assert found.err.count("\n") == 1
    assert message in found.err


@pytest.mark.parametrize(
    ("asked", "files", "like"),
    [
        ("mind", hm(HEADER + ROWS), "hm"),
        ("hm", {f"MINDsmall_train/{name}": b"x" for name in ("behaviors.tsv", "news.tsv")}, "mind"),
        ("mind", {"ml-1m/ratings.dat": b"1::1::5::9"}, "movielens"),
        ("hm", yelp(b"{}"), "yelp"),
    ],
)
def test_what_the_folder_looks_like(outcome, asked, files, like):
    assert outcome(asked, files).err.rstrip().endswith(f"and looks like {like}")


ROW = b"2018-09-22,c2,0108775044,0.1,2\n"
DROPPED = {
    "bad UTF-8": ("hm", hm(HEADER + ROWS + ROW.replace(b"c2", b"c\xff")), f"{TABLE}, line 4: is not UTF-8"),
    "bad UTF-8 in JSON": (
        "yelp",
        yelp(lines(REVIEW, REVIEW) + lines(REVIEW).replace(b'"u"', b'"\xff"')),
        f"{REVIEWS}, line 3: is not UTF-8",
    ),
    "a NUL byte": (
        "hm",
        hm(HEADER + ROWS + ROW.replace(b"c2", b"c\0")),
        f"{TABLE}, line 4: holds a NUL byte",
    ),
    "a number too large": (
        "hm",
        hm(HEADER + ROWS + ROW.replace(b"2018-09-22", b"9" * 30)),
        f"{TABLE}, line 4: t_dat '999999999999999999999999999999' is neither",
    ),
    "another number of fields": (
        "mind",
        mind(b"1\tU1\t11/12/2019 2:14:46 PM\tN1 N2\t\n2\tU2\n"),
        "behaviors.tsv, line 2: has 2 fields, expected 5",
    ),
    "a line cut off": (
        "yelp",
        yelp(lines(REVIEW, REVIEW) + lines(REVIEW)[:50]),
        f"{REVIEWS}, line 3: is no JSON object",
    ),
}


@pytest.mark.parametrize("what", DROPPED)
def test_a_bad_row_is_left_out_and_named(outcome, what):
    format_name, files, message = DROPPED[what]
    found = outcome(format_name, files)
    assert found.code == 0
    assert found.json["counts"]["actions"] == 2
    assert found.json["problems"]["malformed_rows"] == 1
    assert message in found.json["problems"]["first_malformed"][0]


@pytest.mark.parametrize("change", ["\\r\\n", "BOM"])
@pytest.mark.parametrize(
    ("format_name", "files", "count"),
    [
        ("hm", hm(HEADER + ROWS), 2),
        ("yelp", yelp(lines(REVIEW)), 1),
        ("mind", mind(b"1\tU1\t11/12/2019 2:14:46 PM\tN1 N2\tN3-1 N1-0\n"), 3),
    ],
)
def test_windows_line_ends_and_a_byte_order_mark_change_nothing(outcome, format_name, files, count, change):
    def changed(data):
        return b"\xef\xbb\xbf" + data if change == "BOM" else data.replace(b"\n", b"\r\n")

    found = outcome(format_name, {name: changed(data) for name, data in files.items()})
    assert found.code == 0, found.err
    assert found.json["counts"]["actions"] == count
    assert found.json["problems"]["malformed_rows"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format_name", "files", "message"),
    [
        (
            "hm",
            lambda: hm(HEADER + ROWS + b"2018-09-22,c2," + b"0" * LONG + b"\n"),
            f"{TABLE}, line 4: is longer than 64 MiB",
        ),
        (
            "yelp",
            lambda: yelp(lines(REVIEW) + b'{"user_id": "' + b"u" * LONG),
            f"{REVIEWS}, line 2: is longer than 64 MiB",
        ),
        (
            "mind",
            lambda: mind(b"1\tU1\t11/12/2019 2:14:46 PM\t" + b"N1 " * (LONG // 3)),
            "behaviors.tsv, line 1: is longer than 64 MiB",
        ),
    ],
)
def test_a_line_of_100_mb(outcome, format_name, files, message):
    found = outcome(format_name, files())
    assert found.code == 1
    assert message in found.err
