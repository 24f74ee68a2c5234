import gzip
import json

import pytest

from tssr.core.errors import DataError
from tssr.pipeline.raw.amazon import plain_text

REVIEWS, META = "Toys_and_Games_5.json.gz", "meta_Toys_and_Games.json.gz"


def packed(*objects):
    lines = (value if isinstance(value, str) else json.dumps(value) for value in objects)
    return gzip.compress("".join(line + "\n" for line in lines).encode())


def review(user, item, time):
    return {
        "overall": 5.0,
        "reviewerID": user,
        "asin": item,
        "unixReviewTime": time,
        "style": {"Color:": " x"},
    }


DUMP = {
    REVIEWS: packed(
        review("u", "B2", 1529193601), review("u", "0001", 1529193600), review("v", "B2", 16777217)
    ),
    META: packed(
        {
            "asin": "B2",
            "title": "A <b>bear</b> &amp; more",
            "brand": "",
            "category": ["Toys", "Toys", "Bears"],
            "imageURLHighRes": ["https://x/1.jpg", "https://x/2.jpg"],
            "imageURL": ["https://x/small.jpg"],
        },
        "{'asin': '0001', 'title': \"Kid's\", 'categories': [['Toys', 'Cars']], 'imUrl': 'https://x/3.jpg'}",
        {"asin": "B2", "title": ["a list"], "imageURL": []},
    ),
}


def test_reviews_and_metadata_in_both_spellings(raw, read):
    raw(DUMP)
    found = read("toy")
    assert found.actions == [("u", "0001", 1529193600), ("u", "B2", 1529193601), ("v", "B2", 16777217)]
    assert found.items["B2"]["text"] == "A bear & more. Toys, Bears"
    assert found.items["B2"]["image_urls"] == "https://x/1.jpg https://x/2.jpg"
    assert found.items["0001"]["text"] == "Kid's. Toys, Cars"
    assert found.items["0001"]["image_urls"] == "https://x/3.jpg"
    assert found.problems == [
        f"{META}: 1 rows of items that occurred before, left out",
        "2 of 2 items have no picture in images/; fetch them with: tssr download-images toy",
        f"1 titles of {META} had HTML, which is taken out",
        f"1 titles of {META} are lists or objects, taken as text",
    ]


def test_pictures_by_asin(raw, read):
    raw({**DUMP, "images/B2.png": b"", "images/0001.txt": b""})
    found = read("toy", keep_missing_content=False)
    assert [(name, row["image"]) for name, row in found.items.items()] == [("B2", "images/B2.png")]


def test_ratings_only_and_which_file_is_read(raw, read):
    folder = raw({**DUMP, "Toys_and_Games.csv": "B2,w,5.0,7\n"})
    assert "Toys_and_Games.csv is not read, because Toys_and_Games_5.json.gz is there" in read("toy").problems
    (folder / REVIEWS).unlink()
    assert read("toy").actions == [("w", "B2", 7)]


def test_missing_files(raw, read):
    folder = raw({META: DUMP[META]})
    with pytest.raises(DataError, match=r"none of Toys_and_Games_5\.json, .* is there; toy expects Toys_and"):
        read("toy")
    raw(DUMP)
    (folder / META).unlink()
    with pytest.raises(DataError, match=r"meta_Toys_and_Games\.json is not there"):
        read("toy")
    with pytest.raises(DataError, match=r"Cell_Phones_and_Accessories_5\.json, .*and looks like toy"):
        read("phone")


def test_broken_metadata_lines_are_counted(raw, read):
    raw({**DUMP, META: packed('{"asin": "B2", "title": "x"}', "{'asin': open('x')}", "{'asin':", "nonsense")})
    found = read("toy")
    assert found.problems[0].startswith("3 malformed rows dropped: ")
    assert f"{META}, line 2: is no JSON object (ValueError)" in found.problems[0]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (r'{"asin": "B2", "title": "x\ud800"}', "half a surrogate pair, which is no text"),
        (r"{'asin': 'B\ud8002', 'title': 'x'}", "half a surrogate pair, which is no text"),
        (r'{"asin": "B2", "brand": "x\u0000"}', "a NUL byte"),
    ],
)
def test_metadata_that_hold_no_text_are_counted(raw, read, line, fault):
    raw({**DUMP, META: packed('{"asin": "0001", "title": "x"}', line)})
    assert f"{META}, line 2: holds {fault}" in read("toy").problems[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a < b", "a < b"),
        ("<script>var aPageStart = 1;</script>Bear", "Bear"),
        ("<style type='x'>never closed", None),
        ('<span class="a-size-medium a-color-secondary"', None),
        ("5 < 6 and 7 > 3, I <3 it", "5 < 6 and 7 > 3, I <3 it"),
        ("&lt;b&gt;Twice&lt;/b&gt; as &amp;amp; good", "Twice  as & good"),
        ("Vitamin <B12> x<br/>y", "Vitamin <B12> x y"),
        ("if A<B then S<a<b", "if A<B then S<a<b"),
        ("R&amp;copy Use &amp;region=1", "R&copy Use &region=1"),
        ("<button type=submit>Buy</button> it</a", "Buy  it"),
        (None, None),
        (["x", None, "y"], "x, y"),
    ],
)
def test_plain_text(value, text):
    assert plain_text(value) == text


@pytest.mark.parametrize(
    "line",
    [
        "{'asin': b'B2'}",
        "{'asin': 'B2', 'title': {'a': b'x'}}",
        "{'asin': 'B2', 'price': 1j}",
        "{'asin': 'B2', 'brand': ...}",
        '{"asin": ["B2"]}',
        '{"asin": "B2", "title": ' + "[" * 900 + "]" * 900 + "}",
    ],
)
def test_metadata_that_are_no_text_cost_their_own_line(raw, read, line):
    raw({**DUMP, META: packed('{"asin": "0001", "title": "x"}', line)})
    assert f"{META}, line 2: holds a value that is no text" in read("toy").problems[0]


def test_metadata_without_a_single_product_say_why(raw, read):
    raw({**DUMP, META: packed("<html>", "[1]")})
    with pytest.raises(
        DataError, match=r"meta_.* has no items; 2 malformed rows dropped: meta_.*, line 1: is no"
    ):
        read("toy")
