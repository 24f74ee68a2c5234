"""`tssr features import`: a store like any other, under the numbers of the data set's items."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from tssr.core.errors import ArtifactError
from tssr.features.store import choose_stores, open_store

IMPORT = ("features", "import", "--dataset", "catalogue", "--modality", "image", "--vectors")


@pytest.fixture
def catalogue(make_catalogue, tssr):
    """Items id1…id4, and the command line in the folder that holds their workspace."""
    workspace, _ = make_catalogue(texts=["a", "b", "c", "d"])
    return workspace, tssr


def test_vectors_find_their_items_whatever_the_order(catalogue, tmp_path):
    workspace, tssr = catalogue
    ids = np.array(["id3", "id1", "stranger", "id4"])
    vectors = np.array([[3, 3], [1, 1], [9, 9], [1, 1]], np.float32)
    np.savez(tmp_path / "mine.npz", item_id=ids, v=vectors)
    made = tssr(*IMPORT, "mine.npz", "--json")
    assert made.code == 0, made.err
    assert (made.json["missing"], made.json["unknown_ids"]) == (1, 1)
    (info,) = choose_stores(workspace.features("catalogue"), ("image",))
    found, present = open_store(info).item_features()
    assert found.tolist() == [[0, 0], [1, 1], [0, 0], [3, 3], [1, 1]]
    assert present.tolist() == [False, True, False, True, True]
    assert found.dtype == np.float32
    assert sum(part["rows"] for part in info.manifest["parts"]) == 2, "equal vectors are kept once"
    assert info.manifest["missing"] == {"no vector in the file": 1}
    assert len(info.manifest["key"]["imported"]) == 64
    again = tssr(*IMPORT, "mine.npz", "--json")
    assert again.json["cached"]
    assert "imported mine.npz" in tssr("features").out
    assert tssr("features", "verify").code == 0
    np.savez(tmp_path / "mine.npz", item_id=ids, v=2 * vectors)
    assert tssr(*IMPORT, "mine.npz", "--json").json["store"] != made.json["store"]


def test_an_array_in_the_order_of_the_table_needs_no_ids(catalogue, tmp_path):
    workspace, tssr = catalogue
    np.save(tmp_path / "all.npy", np.arange(8, dtype=np.float16).reshape(4, 2))
    assert tssr(*IMPORT, "all.npy").code == 0
    (info,) = choose_stores(workspace.features("catalogue"), ())
    assert open_store(info).item_features()[0][1:].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    np.save(tmp_path / "few.npy", np.ones((3, 2)))
    assert "3 vectors without ids for 4 items" in tssr(*IMPORT, "few.npy").err


def test_a_damaged_store_is_mended_by_the_command_that_its_error_names(catalogue, tmp_path):
    workspace, tssr = catalogue
    np.save(tmp_path / "all.npy", np.ones((4, 2), np.float32))
    tssr(*IMPORT, "all.npy")
    (info,) = choose_stores(workspace.features("catalogue"), ())
    (part,) = info.folder.glob("part-*")
    part.write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"run the same tssr features import command again$"):
        open_store(info)
    with pytest.raises(ArtifactError, match=r"another version .* run the same tssr features import command"):
        info.refuse_other_items("other")
    assert tssr(*IMPORT, "all.npy").code == 0
    assert open_store(choose_stores(workspace.features("catalogue"), ())[0]).item_features()[1].sum() == 4


def test_what_fits_no_item_is_refused(catalogue, tmp_path):
    _, tssr = catalogue
    (tmp_path / "twice.csv").write_text("item_id,x\nid1,1\nid2,2\nid1,3\n")
    assert "id1 stands there twice, in rows 1 and 3" in tssr(*IMPORT, "twice.csv").err
    (tmp_path / "alien.csv").write_text("item_id,x\n1,1\n2,2\n")
    refused = tssr(*IMPORT, "alien.csv")
    assert "none of its 2 ids is an item of the data set; it has 1, 2, the data set id1" in refused.err
    assert "needs the file with the vectors" in tssr("features", "import", "--dataset", "catalogue").err
    assert "--vectors is for tssr features import" in tssr("features", "--vectors", "twice.csv").err


@pytest.mark.slow
def test_the_picture_codes_of_instruments_become_a_store(shared_data, tssr, tmp_path):
    data = shared_data / "amazon-instruments-2018"
    columns = "user=user_id,item=item_id,time=position,text=title"
    tables = ("--interactions", data / "interactions.csv.gz", "--items", data / "items.csv.gz")
    options = ("--map", columns, "--keep-missing-content", "--min-actions", "0")
    assert tssr("preprocess", "custom", "--dataset", "instruments", *tables, *options).code == 0
    codes = ("--vectors", data / "image_codes.npz", "--key", "image_pca256_f16", "--json")
    made = tssr("features", "import", "--modality", "image", *codes)
    assert made.code == 0, made.err
    assert (made.json["items"], made.json["dimension"], made.json["missing"]) == (6250, 256, 0)
    (info,) = choose_stores(tmp_path / "workspace" / "features" / "instruments", ())
    found, _ = open_store(info).item_features()
    arrays = np.load(data / "image_codes.npz")
    ids = pq.read_table(tmp_path / "workspace" / "datasets" / "instruments" / "items.parquet")["item_id"]
    for number in (1, 77, 6250):
        row = int(np.flatnonzero(arrays["item_id"] == int(ids[number - 1].as_py()))[0])
        assert np.array_equal(found[number], arrays["image_pca256_f16"][row])
