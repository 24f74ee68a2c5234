import json

import numpy as np
import pyarrow as pa
import pytest

from tssr.core.errors import ArtifactError, UsageError
from tssr.features.content import CONTENT, content_key
from tssr.features.parts import StoredContents, commit, find_parts, prune, write_part
from tssr.features.pictures import BadContentError
from tssr.features.store import KEY_TYPE, choose_stores, list_stores, open_store, read_manifest

WIDTH = 3
HEAD = ("format", "kind", "modality", "encoder", "dimension", "shape", "dtype", "key")


def content_of(names):
    """CONTENT of items whose content is a word, None for an item without any."""
    rows = [
        {
            "source": name,
            "key": content_key(name.encode()) if name else None,
            "reason": None if name else "no text",
        }
        for name in names
    ]
    return pa.Table.from_pylist(rows, schema=CONTENT)


def items_of(names):
    numbers = pa.array(range(1, len(names) + 1), pa.int32())
    return pa.table({"item": numbers, "item_id": [f"id{n}" for n in numbers]})


def vector_of(name):
    return np.frombuffer(content_key(name.encode())[:WIDTH], np.uint8).astype(np.float16)


def fill(folder, names, broken=(), name="text-tiny"):
    """A store whose vectors are made from the words themselves; returns how many were written."""
    store = folder / name
    store.mkdir(parents=True, exist_ok=True)
    content = content_of(names)
    written = 0
    for chunk in StoredContents(find_parts(store)).missing(content, row_bytes=1):
        words = [names[member] for member in chunk.members]
        keys = pa.array([content_key(word.encode()) for word in words], KEY_TYPE)
        failures = {place: BadContentError("broken") for place, word in enumerate(words) if word in broken}
        write_part(store, chunk.number, keys, np.stack([vector_of(word) for word in words]), failures)
        written += len(words)
    catalogue = StoredContents(find_parts(store))
    head = {
        "format": 1,
        "modality": name.split("-")[0],
        "encoder": "tiny",
        "kind": "vectors",
        "dimension": WIDTH,
        "shape": [WIDTH],
        "dtype": "float16",
        "key": {},
    }
    commit(store, head, catalogue, catalogue.items(items_of(names), content))
    return written


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr("tssr.features.parts.PART_ROWS", 4)


def test_every_item_gets_its_own_vector(tmp_path):
    names = ["a", "b", None, "a", "c", "d", "e", "f", "broken", "b"]
    fill(tmp_path, names, broken={"broken"})
    vectors, present = open_store(list_stores(tmp_path)[0]).item_features()
    assert vectors.shape == (11, WIDTH)
    assert vectors.dtype == np.float16
    assert present.tolist() == [False] + [name not in (None, "broken") for name in names]
    for number, name in enumerate(names, start=1):
        expected = vector_of(name) if present[number] else np.zeros(WIDTH)
        np.testing.assert_array_equal(vectors[number], expected)
    assert not vectors[0].any()


def test_equal_content_shares_a_row_and_growth_encodes_only_what_is_new(tmp_path):
    assert fill(tmp_path, ["a", "b", "a", "a"]) == 2
    parts = {path.name: path.read_bytes() for path in tmp_path.glob("*/part-*")}
    assert fill(tmp_path, ["new", "b", "a", "c", "a"]) == 2
    for name, before in parts.items():
        assert (tmp_path / "text-tiny" / name).read_bytes() == before
    vectors, _ = open_store(list_stores(tmp_path)[0]).item_features()
    np.testing.assert_array_equal(vectors[1:], [vector_of(n) for n in ["new", "b", "a", "c", "a"]])


def test_gather_takes_rows_in_any_order_and_across_parts(tmp_path):
    names = [f"w{n}" for n in range(23)]
    fill(tmp_path, names)
    store = open_store(list_stores(tmp_path)[0])
    assert len(store.vectors.parts) == 6
    rows = np.array([22, 0, -1, 7, 7, 3, 4, -1])
    expected = [vector_of(names[row]) if row >= 0 else np.zeros(WIDTH) for row in rows]
    np.testing.assert_array_equal(store.gather(rows), expected)
    assert not store.gather(np.array([-1, -1])).any()
    with pytest.raises(IndexError, match="3 to 23 of 23"):
        store.gather(np.array([3, 23]))


def test_parts_are_mapped_not_copied(tmp_path):
    fill(tmp_path, ["a", "b"])
    (part,) = open_store(list_stores(tmp_path)[0]).vectors.parts
    assert not part.flags.owndata
    assert not part.flags.writeable


def test_info_says_what_is_inside(tmp_path):
    fill(tmp_path, ["a", "b", None, "broken"], broken={"broken"})
    (info,) = list_stores(tmp_path)
    assert (info.name, info.modality, info.encoder, info.dimension) == ("text-tiny", "text", "tiny", WIDTH)
    assert (info.items, info.missing) == (4, 2)
    assert info.bytes == sum(path.stat().st_size for path in info.folder.glob("part-*"))
    manifest = json.loads((info.folder / "manifest.json").read_text())
    assert manifest["missing"] == {"broken": 1, "no text": 1}


def test_fingerprint_follows_the_vectors(tmp_path):
    fill(tmp_path, ["a", "b"])
    fill(tmp_path, ["a", "b"], name="text-again")
    fill(tmp_path, ["b", "a"], name="text-turned")
    by_name = {info.name: info.fingerprint for info in list_stores(tmp_path)}
    assert by_name["text-tiny"] == by_name["text-again"] != by_name["text-turned"]


def test_choose_by_modality_by_name_or_the_only_one(tmp_path):
    fill(tmp_path, ["a"])
    assert [store.name for store in choose_stores(tmp_path, ())] == ["text-tiny"]
    fill(tmp_path, ["a"], name="image-one")
    names = [store.name for store in choose_stores(tmp_path, ("image", "text-tiny", "text"))]
    assert names == ["image-one", "text-tiny"]


def test_choose_says_what_there_is(tmp_path):
    with pytest.raises(
        UsageError,
        match=rf"make them first: tssr extract-features --dataset {tmp_path.name} --modality text$",
    ):
        choose_stores(tmp_path, ("text",))
    fill(tmp_path, ["a"], name="image-one")
    with pytest.raises(
        UsageError,
        match=rf"--features text: .* has image-one; .* --dataset {tmp_path.name} --modality text$",
    ):
        choose_stores(tmp_path, ("text",))
    with pytest.raises(UsageError, match=r"image-two: .* has image-one; did you mean image-one\?$"):
        choose_stores(tmp_path, ("image-two",))
    fill(tmp_path, ["a"], name="image-two")
    with pytest.raises(
        UsageError, match="several image stores; choose with --features: image-one, image-two"
    ):
        choose_stores(tmp_path, ("image",))
    with pytest.raises(UsageError, match="several stores; choose with --features: image-one, image-two"):
        choose_stores(tmp_path, ())


def test_a_shortened_or_lost_part_is_refused(tmp_path):
    fill(tmp_path, ["a", "b"])
    (info,) = list_stores(tmp_path)
    (part,) = info.folder.glob("part-*")
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"part-00000-.* has \d+ bytes, not \d+; run the same"):
        open_store(info)
    part.unlink()
    with pytest.raises(ArtifactError, match=r"part-00000-.* is missing; run the same"):
        open_store(info)


def test_a_table_of_other_items_is_refused(tmp_path):
    fill(tmp_path, ["a", "b"])
    fill(tmp_path, ["a", "a"], name="text-other")
    (tmp_path / "text-tiny/items.parquet").write_bytes((tmp_path / "text-other/items.parquet").read_bytes())
    store = open_store(choose_stores(tmp_path, ("text-tiny",))[0])
    with pytest.raises(ArtifactError, match="does not belong to the manifest"):
        store.item_features()


def test_a_damaged_manifest_is_refused(tmp_path):
    fill(tmp_path, ["a"])
    manifest = tmp_path / "text-tiny/manifest.json"
    good = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**good, "format": 99}))
    with pytest.raises(ArtifactError, match="has format 99, this tssr reads 1"):
        read_manifest(manifest.parent)
    manifest.write_text(json.dumps({**good, "dimension": 4}))
    with pytest.raises(ArtifactError, match=r"manifest.json is damaged: it does not match its fingerprint"):
        read_manifest(manifest.parent)


def test_a_damaged_store_is_said_and_does_not_stand_in_the_way_of_others(tmp_path, capsys):
    for name in ("image-good", "text-bad"):
        fill(tmp_path, ["a"], name=name)
    (tmp_path / "text-bad/manifest.json").write_text("{")
    assert [store.name for store in choose_stores(tmp_path, ())] == ["image-good"]
    said = capsys.readouterr().err
    assert "text-bad/manifest.json is damaged" in said
    assert "run the same tssr extract-features or features import command again; until then it is" in said
    assert [store.name for store in choose_stores(tmp_path, ("image",))] == ["image-good"]
    with pytest.raises(UsageError, match=r"--features text-bad: .* has image-good$"):
        choose_stores(tmp_path, ("text-bad",))


def test_a_kill_while_pruning_leaves_no_row_twice(tmp_path):
    fill(tmp_path, ["a", "b", "c", "d", "e"])
    store = tmp_path / "text-tiny"
    content = content_of(["a", "c", "e"])
    before = find_parts(store)
    pruned = prune(store, before, content)  # the kill comes here: both files of part 0 are there
    assert len(list(store.glob("part-00000-*"))) == 2
    assert find_parts(store) == pruned != before
    assert prune(store, find_parts(store), content) == pruned
    assert StoredContents(pruned).table["key"].to_pylist() == content["key"].to_pylist()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied"])
def test_a_damaged_part_is_said_and_made_again_with_the_same_bytes(tmp_path, capsys, damage):
    names = [f"w{n}" for n in range(11)]
    fill(tmp_path, names)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "text-tiny").iterdir()}
    victim = sorted((tmp_path / "text-tiny").glob("part-*"))[1]
    data = bytearray(victim.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    victim.write_bytes({"truncated": data[:100], "flipped": data, "emptied": b""}[damage])
    assert fill(tmp_path, names) == 4
    assert "part-00001" in (said := capsys.readouterr().err)
    assert "checksum; its contents are encoded again" in said
    assert {path.name: path.read_bytes() for path in (tmp_path / "text-tiny").iterdir()} == whole


def test_a_process_that_alone_finds_a_part_damaged_says_which_process_it_is(tmp_path, capsys, monkeypatch):
    fill(tmp_path, ["w"])
    (part,) = (tmp_path / "text-tiny").glob("part-*")
    part.write_bytes(b"")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert find_parts(tmp_path / "text-tiny") == []
    assert capsys.readouterr().err.startswith(f"process 1 of this torchrun: {part}")


def test_a_hole_between_parts_is_filled_with_the_same_bytes(tmp_path):
    names = [f"w{n}" for n in range(11)]
    fill(tmp_path, names)
    parts = sorted((tmp_path / "text-tiny").glob("part-*"))
    whole = {path.name: path.read_bytes() for path in parts}
    parts[0].unlink()
    assert fill(tmp_path, names) == 4
    assert {path.name: path.read_bytes() for path in (tmp_path / "text-tiny").glob("part-*")} == whole


def test_nothing_changed_is_noticed(tmp_path):
    fill(tmp_path, ["a", "b"])
    store = tmp_path / "text-tiny"
    manifest = json.loads((store / "manifest.json").read_text())
    head = {key: manifest[key] for key in HEAD}
    catalogue = StoredContents(find_parts(store))
    table = catalogue.items(items_of(["a", "b"]), content_of(["a", "b"]))
    assert commit(store, head, catalogue, table) is False
    assert commit(store, {**head, "encoder": "renamed"}, catalogue, table) is True
