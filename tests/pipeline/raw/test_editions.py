"""A dump of another edition, or of another layout, than the reader expects: said, with what reads it."""

import gzip
import json
import shlex

import pytest

from tssr.core.errors import DataError
from tssr.pipeline.preprocess.settings import PreprocessSettings
from tssr.pipeline.preprocess.stage import preprocess

REVIEWS, META = "Toys_and_Games_5.json", "meta_Toys_and_Games.json"


def lines(*objects):
    return "".join(json.dumps(value) + "\n" for value in objects)


def review(user, item):
    return {"reviewerID": user, "asin": item, "unixReviewTime": 1529193600}


def review_2023(user, item, time):
    return {"rating": 5.0, "asin": item + "X", "parent_asin": item, "user_id": user, "timestamp": time}


def product_2023(item, title):
    return {
        "main_category": "Toys",
        "title": title,
        "images": [{"large": "https://x/1.jpg"}],
        "store": "Acme",
        "categories": ["Toys", "Bears"],
        "parent_asin": item,
    }


OF_2023 = {
    "Toys_and_Games.jsonl": lines(
        review_2023("u", "B1", 1588687728923), review_2023("v", "B2", 1588687728924)
    ),
    "meta_Toys_and_Games.jsonl": lines(product_2023("B1", "A bear"), product_2023("B2", None)),
}


@pytest.mark.parametrize("packed", [str.encode, lambda text: gzip.compress(text.encode())])
@pytest.mark.parametrize(
    "names", [dict, {"Toys_and_Games.jsonl": REVIEWS, "meta_Toys_and_Games.jsonl": META}.get]
)
def test_amazon_2023_is_told_with_the_command_that_reads_it(raw, tssr, tmp_path, names, packed):
    suffix = ".gz" if packed is not str.encode else ""
    rename = (lambda name: name) if names is dict else names
    folder = raw({rename(name) + suffix: packed(text) for name, text in OF_2023.items()})
    refused = tssr("preprocess", "toy", "--raw", folder)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert (
        "look like Amazon Reviews 2023 (they have parent_asin), and toy reads the edition of 2018"
        in refused.err
    )
    command = shlex.split(refused.err[refused.err.index("tssr preprocess custom") :])
    done = tssr(*command[1:], "--min-actions", 0, "--json")
    assert done.code == 0, done.err
    assert done.json["counts"] == {"users": 2, "items": 2, "actions": 2}
    assert done.json["dataset"] == "toy"


def test_amazon_2023_beside_reviews_of_2018(raw, read):
    raw({REVIEWS: lines(review("u", "B1")), META: OF_2023["meta_Toys_and_Games.jsonl"]})
    with pytest.raises(
        DataError, match=rf"^{META} look like Amazon Reviews 2023 .*--interactions REVIEWS\.jsonl"
    ):
        read("toy")


def test_the_ratings_of_amazon_2023(raw, read):
    csv = "user_id,parent_asin,rating,timestamp\nu,B1,5.0,1588687728923\n"
    raw({"Toys_and_Games.csv": csv, META: lines({"asin": "B1", "title": "x"})})
    with pytest.raises(DataError, match=r"Toys_and_Games\.csv look like Amazon Reviews 2023"):
        read("toy")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("reviews_Toys_and_Games_5.json.gz", lines(review("u", "B1"))),
        ("reviews_Toys_and_Games.json", lines(review("u", "B1"))),
        ("ratings_Toys_and_Games.csv", "u,B1,5.0,1529193600\n"),
        ("Toys_and_Games.csv", "B1,u,5.0,1529193600\n"),
    ],
)
def test_amazon_2014_and_2018_under_their_own_names(raw, read, name, text):
    data = gzip.compress(text.encode()) if name.endswith(".gz") else text
    raw({name: data, META: "{'asin': 'B1', 'title': 'x', 'imUrl': 'http://x/1.jpg'}\n"})
    assert read("toy").actions == [("u", "B1", 1529193600)]


def test_columns_in_the_order_of_another_edition(raw, read):
    raw(
        {
            "Toys_and_Games.csv": "u,B1,5.0,7\nv,B1,5.0,8\nw,B2,5.0,8\n",
            META: lines({"asin": "B1"}, {"asin": "B2"}),
        }
    )
    words = r"none of the 3 items of the actions \(u, v, w, …\) is in the table of items \(B1, B2, …\); "
    why = r"100% of the users are in it, so that user and item are swapped: .*ratings_CATEGORY"
    with pytest.raises(DataError, match=words + why):
        read("toy", keep_missing_content=False)
    (note,) = [line for line in read("toy").problems if line.startswith("none of the 3 items")]
    assert "ratings_CATEGORY.csv, has the user first" in note


@pytest.mark.parametrize(
    ("log", "items", "words"),
    [
        ("u,107\nu,108\n", "0107\n0108\n", r"without leading zeros they would be: .*keep ids as text"),
        ("u,Mug\nu,Jug\n", "mug\njug \n", r"without blanks and capitals they would be"),
        (
            "u,1\nu,2\n",
            "7\n8\n",
            r"are the two files of one edition, and is the column the one with the ids\?",
        ),
    ],
)
def test_why_no_id_is_in_the_table_of_items(tmp_path, log, items, words):
    (tmp_path / "log.csv").write_text("user,item\n" + log)
    (tmp_path / "items.csv").write_text("item,title\n" + items.replace("\n", ",x\n"))
    options = {"interactions": tmp_path / "log.csv", "items": tmp_path / "items.csv", "min_actions": 0}
    settings = PreprocessSettings(map="user=user,item=item,text=title", **options)
    with pytest.raises(DataError, match=r"none of the 2 items of the actions .*" + words):
        preprocess("custom", settings, tmp_path, tmp_path / "out")


def test_yelp_under_the_names_of_other_years(raw, read):
    entry = {"user_id": "u", "business_id": "b", "date": "2018-07-07 22:09:11"}
    business = {"business_id": "b", "name": "Bar", "categories": None, "city": "X", "state": "CA"}
    photo = {"photo_id": "p", "business_id": "b", "label": "food"}
    files = {"review.json": lines(entry), "business.json": lines(business), "photo.json": lines(photo)}
    raw({**files, "photos/p.jpg": b""})
    assert read("yelp").items["b"]["image"] == "photos/p.jpg"


def test_no_picture_at_all_sends_to_another_folder_first(raw, tssr, tmp_path):
    folder = raw({"log.csv": "user,item\nu,a\n", "items.csv": "item,image\na,p/a.jpg\n", "p/a.jpg": b""})
    files = ("--interactions", folder / "log.csv", "--items", folder / "items.csv", "--min-actions", 0)
    command = ("preprocess", "custom", *files, "--map", "user=user,item=item,image=image")
    wrong = tssr(*command, "--raw", tmp_path / "elsewhere")
    assert wrong.code == 1
    where = f"there is none of the pictures in {tmp_path / 'elsewhere'}"
    cures = f"try another --raw ({where}) or --keep-missing-content"
    assert cures in wrong.err
    assert tssr(*command, "--raw", folder).code == 0
    amazon = raw({REVIEWS: lines(review("u", "B1")), META: lines({"asin": "B1"})})
    cures = (
        f"try tssr download-images toy or another --raw (there is none of the pictures in {amazon}) or --keep"
    )
    assert cures in tssr("preprocess", "toy", "--raw", amazon).err
