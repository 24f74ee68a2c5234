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
    assert read("movielens").problems[0].endswith("ratings.dat, line 4: has 2 fields, expected 4")
    (folder / "movies.dat").unlink()
    with pytest.raises(
        DataError, match=r"movies\.dat or movies\.csv is not there; movielens expects ratings\.dat"
    ):
        read("movielens")
