import json
import tarfile

import pytest

from tssr.core.errors import DataError

REVIEW, BUSINESS = "yelp_academic_dataset_review.json", "yelp_academic_dataset_business.json"


def lines(*objects):
    return "".join(json.dumps(value) + "\n" for value in objects)


def review(user, business, date, text="Fine.\nGood \u2603"):
    return {
        "review_id": "r",
        "user_id": user,
        "business_id": business,
        "stars": 4.0,
        "text": text,
        "date": date,
    }


def business(name, **more):
    return {
        "business_id": name,
        "name": f"Bar {name}",
        "categories": "Pubs, Bars",
        "city": "X",
        "state": "CA",
        **more,
    }


def photo(name, of, label):
    return {"photo_id": name, "business_id": of, "caption": "", "label": label}


DUMP = {
    REVIEW: lines(review("u", "b2", "2018-07-07 22:09:11"), review("u", "b1", "2018-07-07 22:09:10")),
    BUSINESS: lines(business("b1"), business("b2", categories=None)),
}


def test_reviews_businesses_and_no_photos(raw, read):
    raw(DUMP)
    found = read("yelp")
    assert found.actions == [("u", "b1", 1531001350), ("u", "b2", 1531001351)]
    assert found.items["b1"]["text"] == "Bar b1. Pubs, Bars"
    assert found.items["b2"]["text"] == "Bar b2"
    assert found.problems == [
        "photos.json is not there: no business has a picture",
        "2 of 2 businesses have no picture in photos/",
    ]
    with pytest.raises(DataError, match=r"step 'items without content dropped' left nothing"):
        read("yelp", keep_missing_content=False)


def test_one_picture_by_label_then_name_among_those_that_are_there(raw, read):
    photos = lines(
        photo("z", "b1", "menu"),
        photo("d", "b1", "inside"),
        photo("c", "b1", "food"),
        photo("b", "b1", "food"),
        photo("a", "b1", "food"),
        photo("x", "b2", "selfie"),
    )
    raw({**DUMP, "photos.json": photos, **{f"photos/{name}.jpg": b"" for name in "bcdxz"}})
    found = read("yelp", keep_missing_content=False)
    assert found.items["b1"]["image"] == "photos/b.jpg"
    assert found.items["b1"]["photos"] == "food/a food/b food/c inside/d menu/z"
    assert found.items["b2"]["image"] == "photos/x.jpg"
    assert found.problems == []


def test_photos_come_out_of_the_tar(raw, read, tmp_path):
    folder = raw({**DUMP})
    (tmp_path / "p.jpg").write_bytes(b"picture")
    (tmp_path / "photos.json").write_text(lines(photo("p", "b1", "food")))
    with tarfile.open(folder / "yelp_photos.tar", "w") as archive:
        archive.add(tmp_path / "photos.json", "photos.json")
        archive.add(tmp_path / "p.jpg", "photos/p.jpg")
    found = read("yelp")
    assert found.items["b1"]["image"] == "photos/p.jpg"
    assert (folder / "photos" / "p.jpg").read_bytes() == b"picture"


def test_a_line_that_is_cut_off_is_named(raw, read):
    raw({**DUMP, REVIEW: DUMP[REVIEW] + lines(review("u", "b1", "2018-01-01 00:00:00"))[:60]})
    found = read("yelp")
    assert len(found.actions) == 2
    assert found.problems[0] == (
        f"1 malformed row dropped: {REVIEW}, line 3: is no JSON object (JSONDecodeError) (33.3 % of {REVIEW})"
    )


def test_a_photo_without_a_label_is_kept(raw, read):
    photos = lines(photo("p1", "b1", "food"), photo("p2", "b1", None))
    raw({**DUMP, "photos.json": photos, "photos/p1.jpg": b"", "photos/p2.jpg": b""})
    assert read("yelp").items["b1"]["photos"] == "food/p1 /p2"
