import zipfile

import pytest

from tssr.core.errors import DataError

RATINGS_DAT = "1::10::5::978300760\n1::2::3::978300759\n2::10::1::978300760\n"
MOVIES_DAT = "2::Café (1995)::Drama|War\n10::Toy Story (1995)::Animation\n".encode("latin-1")
RATINGS_CSV = "userId,movieId,rating,timestamp\n1,10,4.5,978300760\n1,2,3.0,978300759\n2,10,1.0,978300760\n"
MOVIES_CSV = 'movieId,title,genres\n2,Café (1995),Drama|War\n10,"Toy, Story (1995)",Animation\n'
ACTIONS = [("1", "2", 978300759), ("1", "10", 978300760), ("2", "10", 978300760)]


def test_ml_1m(raw, read):
    raw({"ratings.dat": RATINGS_DAT, "movies.dat": MOVIES_DAT})
    found = read("movielens")
    assert found.actions == ACTIONS
    assert found.items["2"]["text"] == "Café (1995). Drama|War"
    assert found.problems == []


@pytest.mark.parametrize("edition", ["ml-20m", "ml-25m"])
def test_csv_editions_in_their_folder(raw, read, edition):
    raw({f"{edition}/ratings.csv": RATINGS_CSV, f"{edition}/movies.csv": MOVIES_CSV})
    found = read("movielens")
    assert found.actions == ACTIONS
    assert found.items["10"]["text"] == "Toy, Story (1995). Animation"


def test_the_zip_is_read_in_place(raw, read):
    folder = raw({"readme": ""})
    with zipfile.ZipFile(folder / "ml-1m.zip", "w") as archive:
        archive.writestr("ml-1m/ratings.dat", RATINGS_DAT)
        archive.writestr("ml-1m/movies.dat", MOVIES_DAT)
    assert read("movielens").actions == ACTIONS


def test_posters_by_movie_id(raw, read):
    raw({"ratings.dat": RATINGS_DAT, "movies.dat": MOVIES_DAT, "posters/10.JPG": b"", "posters/2.txt": b""})
    found = read("movielens")
    assert [found.items[name]["image"] for name in ("2", "10")] == [None, "posters/10.JPG"]
    assert found.problems == ["1 of 2 items have no picture in posters/"]


def test_a_malformed_line_and_a_missing_table(raw, read):
    folder = raw({"ratings.dat": RATINGS_DAT + "3::10\n", "movies.dat": MOVIES_DAT})
    assert (
        read("movielens")
        .problems[0]
        .endswith("ratings.dat, line 4: has 2 fields, expected 4 (25.0 % of ratings.dat)")
    )
    (folder / "movies.dat").unlink()
    with pytest.raises(
        DataError, match=r"ratings\.csv with movies\.csv, is not there; movielens expects ratings\.dat"
    ):
        read("movielens")


def test_posters_may_lie_in_the_raw_folder_or_in_an_archive(raw, read):
    folder = raw({"ml-1m/ratings.dat": RATINGS_DAT, "ml-1m/movies.dat": MOVIES_DAT, "posters/10.jpg": b""})
    assert read("movielens").items["10"]["image"] == "posters/10.jpg"
    (folder / "posters" / "10.jpg").unlink()
    (folder / "posters").rmdir()
    with zipfile.ZipFile(folder / "posters.zip", "w") as archive:
        archive.writestr("posters/2.jpg", b"x")
    assert read("movielens").items["2"]["image"] == "posters/2.jpg"


def test_one_edition_is_read_whole_and_the_others_are_named(raw, read):
    files = {"ml-25m/ratings.csv": RATINGS_CSV, "ml-25m/movies.csv": MOVIES_CSV, "movies.dat": MOVIES_DAT}
    raw(files)
    assert read("movielens").items["10"]["text"] == "Toy, Story (1995). Animation"
    raw({"ml-1m/ratings.dat": RATINGS_DAT, "ml-1m/movies.dat": MOVIES_DAT})
    (note,) = read("movielens").problems
    assert "ml-25m/ratings.csv is not read: " in note


def test_what_lies_unpacked_needs_no_archive(raw, read):
    raw({"ratings.csv": RATINGS_CSV, "movies.csv": MOVIES_CSV, "ml-1m.zip": b"broken", "ml-2m.zip/x": b""})
    found = read("movielens")
    assert found.actions == ACTIONS
    assert found.problems[0].startswith("no poster is unpacked: ml-1m.zip: damaged or no archive")


def test_each_line_has_its_own_encoding(raw, read):
    movies = "2::Amélie (2001)::Drama\n".encode() + "10::Café (1995)::War\n".encode("latin-1")
    raw({"ratings.dat": RATINGS_DAT, "movies.dat": movies})
    assert [read("movielens").items[name]["title"] for name in ("2", "10")] == [
        "Amélie (2001)",
        "Café (1995)",
    ]


def test_two_archives_are_not_mixed(raw, read):
    folder = raw({"readme": ""})
    with zipfile.ZipFile(folder / "a-ratings.zip", "w") as archive:
        archive.writestr("ratings.csv", RATINGS_CSV.replace("1,10,", "7,10,"))
    with zipfile.ZipFile(folder / "ml-25m.zip", "w") as archive:
        archive.writestr("ml-25m/ratings.csv", RATINGS_CSV)
        archive.writestr("ml-25m/movies.csv", MOVIES_CSV)
    found = read("movielens")
    assert (found.actions, found.problems) == (ACTIONS, [])


FLAGS = ["0"] * 19
U_ITEM = (
    "2|Café (1995)|01-Jan-1995||http://x/a?Caf%E9|"
    + "|".join([*FLAGS[:5], "1", "0", "0", "1", *FLAGS[9:]])
    + "\n"
    '10|Toy, "Story" (1995)|||http://x|' + "|".join(FLAGS) + "\n"
).encode("latin-1")
U_DATA = "1\t10\t5\t978300760\n1\t2\t3\t978300759\n2\t10\t1\t978300760\n"


@pytest.mark.parametrize("folder", ["", "ml-100k/"])
def test_ml_100k(raw, read, folder):
    raw({f"{folder}u.data": U_DATA, f"{folder}u.item": U_ITEM})
    found = read("movielens", allow_loss=False, strict=True)
    assert found.actions == ACTIONS
    assert found.items["2"]["text"] == "Café (1995). Comedy|Drama"
    assert found.items["2"]["release_date"] == "01-Jan-1995"
    assert (found.items["10"]["text"], found.items["10"]["genres"]) == ('Toy, "Story" (1995)', "")


def test_ml_100k_in_its_zip(raw, read):
    folder = raw({"readme": ""})
    with zipfile.ZipFile(folder / "ml-100k.zip", "w") as archive:
        archive.writestr("ml-100k/u.data", U_DATA)
        archive.writestr("ml-100k/u.item", U_ITEM)
        archive.writestr("ml-100k/u1.base", "x")
    assert read("movielens").actions == ACTIONS


def test_ml_10m_has_the_layout_of_ml_1m_and_times_with_zeros(raw, read):
    raw({"ml-10M100K/ratings.dat": RATINGS_DAT, "ml-10M100K/movies.dat": MOVIES_DAT})
    assert read("movielens").actions == ACTIONS
