import numpy as np
import pytest
from PIL import Image

from tssr.evaluation.gallery import Person, Tile, draw_gallery

RED, BLUE, GREEN, GREY = (200, 30, 30), (30, 30, 200), (26, 152, 80), (223, 227, 232)


@pytest.fixture
def pictures(tmp_path):
    paths = {}
    for name, colour in {"red": RED, "blue": BLUE}.items():
        paths[name] = tmp_path / f"{name}.png"
        Image.new("RGB", (90, 120), colour).save(paths[name])
    paths["broken"] = tmp_path / "broken.jpg"
    paths["broken"].write_bytes(b"\xff\xd8\xff no picture")
    paths["cut"] = tmp_path / "cut.png"
    paths["cut"].write_bytes(paths["red"].read_bytes()[:60])
    return paths


def drawn(tmp_path, people, model="TSSR"):
    path = tmp_path / "gallery.png"
    draw_gallery(path, "TSSR on a shop", model, people)
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def share(pixels, colour):
    """How many tiles' worth of a colour there is; a tile's picture is 106 by 142 pixels here."""
    return np.all(np.abs(pixels.astype(int) - colour) <= 2, axis=-1).sum() / (106 * 142)


def person(pictures, taken=99, recommended="blue", history="red", seen=3):
    return Person(
        "user 17",
        [Tile(item, f"dress {item}", pictures[history]) for item in range(1, seen + 1)],
        [Tile(item, f"shirt {item}", pictures[recommended]) for item in range(11, 21)],
        Tile(taken, "coat", None),
    )


def test_every_picture_is_drawn_once(tmp_path, pictures):
    pixels = drawn(tmp_path, [person(pictures)])
    assert share(pixels, RED) == pytest.approx(3, rel=0.03)
    assert share(pixels, BLUE) == pytest.approx(10, rel=0.05)  # the ranks cover their corners
    assert share(pixels, GREEN) == 0


def test_only_the_newest_of_a_long_history_are_drawn(tmp_path, pictures):
    assert share(drawn(tmp_path, [person(pictures, seen=40)]), RED) == pytest.approx(6, rel=0.03)
    assert share(drawn(tmp_path, [person(pictures, seen=0)]), RED) == 0


def test_the_item_taken_is_outlined_where_it_was_recommended(tmp_path, pictures):
    found = drawn(tmp_path, [person(pictures, taken=13)])
    missed = drawn(tmp_path, [person(pictures, taken=99)])
    green = np.argwhere(np.all(found == GREEN, axis=-1))
    assert len(green) > 1000
    assert not np.all(missed == GREEN, axis=-1).any()
    changed = np.argwhere((found != missed).any(axis=-1))
    third, fourth = 432 + 2 * 124, 432 + 3 * 124  # where the third and fourth tile of the list begin
    listed = green[(green[:, 1] < 1060) & (green[:, 0] > 125)]
    assert (listed[:, 1] >= third - 3).all()
    assert (listed[:, 1] < fourth - 3).all()
    assert len(changed) > len(listed)


@pytest.mark.parametrize("bad", ["broken", "cut", "absent"])
def test_missing_and_broken_pictures_become_grey_tiles(tmp_path, pictures, bad):
    pictures["absent"] = tmp_path / "nowhere.jpg"
    whole = share(drawn(tmp_path, [person(pictures)]), GREY)
    spoiled = share(drawn(tmp_path, [person(pictures, recommended=bad)]), GREY)
    assert spoiled - whole == pytest.approx(10 * 117 * 143 / (106 * 142), rel=0.1)


def test_each_person_adds_one_band(tmp_path, pictures):
    heights = [len(drawn(tmp_path, [person(pictures)] * count)) for count in (1, 2, 5)]
    assert heights[2] - heights[1] == 3 * (heights[1] - heights[0])


def test_long_names_stay_inside_their_tile(tmp_path, pictures):
    plain = person(pictures, seen=1)
    named = Person("u" * 400, [Tile(1, "Wwww " * 80, pictures["red"])], plain.recommended, plain.taken)
    difference = np.argwhere((drawn(tmp_path, [plain]) != drawn(tmp_path, [named])).any(axis=-1))
    assert difference[:, 1].max() < 432 - 40
    unseen = [Tile(1, "Unpronounceablylongname" * 9, None)]
    grey = Person("user 17", unseen, plain.recommended, plain.taken)
    difference = np.argwhere((drawn(tmp_path, [grey]) != drawn(tmp_path, [plain])).any(axis=-1))
    assert difference[:, 1].max() <= 28 + 116


def test_the_model_is_named(tmp_path, pictures):
    one = drawn(tmp_path, [person(pictures)], model="TSSR")
    other = drawn(tmp_path, [person(pictures)], model="PopRec")
    assert (one[:92] != other[:92]).any()
    assert (one[92:] == other[92:]).all()
