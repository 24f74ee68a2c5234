import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tssr.core.settings import resolve
from tssr.features import parts
from tssr.features.settings import FeatureSettings
from tssr.features.store import list_stores, manifest_fingerprint
from tssr.pipeline.extract.stage import extract_features


@pytest.fixture
def stores(make_catalogue, bert, monkeypatch):
    """Extract the texts given, in parts of two; returns the workspace."""
    monkeypatch.setattr(parts, "PART_ROWS", 2)

    def make(texts, name="catalogue", **values):
        workspace, _ = make_catalogue(texts=texts, name=name)
        choice = {"dataset": name, "modality": ("text",), "encoder": (str(bert),), **values}
        return workspace, extract_features(workspace, resolve(FeatureSettings, choice))

    return make


def test_stores_are_listed_with_their_data_set(stores, tssr):
    stores(["red", "blue", None])
    workspace, _ = stores(["old shoes"], name="other")
    outcome = tssr("features", "--workspace", workspace.root)
    lines = [line.split() for line in outcome.out.splitlines() if "text-bert" in line]
    assert [(line[0], line[2], line[3], line[4], line[5]) for line in lines] == [
        ("catalogue", "bert-16", "16", "3", "1"),
        ("other", "bert-16", "16", "1", "0"),
    ]
    only = tssr("features", "--workspace", workspace.root, "--dataset", "other", "--json")
    assert [store["dataset"] for store in only.json["stores"]] == ["other"]


def test_no_store_says_how_to_make_one(tssr, tmp_path):
    outcome = tssr("features", "--workspace", tmp_path)
    assert outcome.code == 2
    assert "has no features; make them with: tssr extract-features" in outcome.err
    assert "data set hm has no features" in tssr("features", "verify", "--dataset", "hm").err


def test_verify_names_every_damaged_file(stores, tssr):
    workspace, _ = stores(["red", "blue", "old", "shoes", "shirt"])
    assert tssr("features", "verify", "--workspace", workspace.root).code == 0
    (info,) = list_stores(workspace.features("catalogue"))
    first, second, _ = sorted(info.folder.glob("part-*"))
    data = bytearray(first.read_bytes())
    data[-20] ^= 1
    first.write_bytes(data)
    second.unlink()
    outcome = tssr("features", "verify", "--workspace", workspace.root)
    assert outcome.code == 1
    assert f"damaged or missing: {first}, {second}; run the same tssr extract-features" in outcome.err


def test_verify_counts_a_thousand_files(stores, tssr):
    workspace, _ = stores(["red"])
    (info,) = list_stores(workspace.features("catalogue"))
    manifest = json.loads((info.folder / "manifest.json").read_text())
    (part,) = manifest["parts"]
    manifest["parts"] = [part | {"file": f"part-{number}.arrow"} for number in range(1000)]
    for copy in manifest["parts"]:
        (info.folder / copy["file"]).hardlink_to(info.folder / part["file"])
    manifest["fingerprint"] = manifest_fingerprint(manifest)
    (info.folder / "manifest.json").write_text(json.dumps(manifest))
    verified = tssr("features", "verify", "--workspace", workspace.root, "--json").json["verified"]
    assert verified[0]["files"] == 1001
    assert "1,001" in tssr("features", "verify", "--workspace", workspace.root).out


def test_a_damaged_manifest_is_named_and_the_rest_listed(stores, tssr):
    stores(["red"])
    workspace, _ = stores(["blue"], name="other")
    (info,) = list_stores(workspace.features("other"))
    (info.folder / "manifest.json").write_text("{}")
    listed = tssr("features", "--workspace", workspace.root)
    assert listed.code == 0
    assert "catalogue" in listed.out
    assert "other" not in listed.out
    assert f"{info.folder / 'manifest.json'} has format None" in listed.err
    verified = tssr("features", "verify", "--workspace", workspace.root)
    assert verified.code == 1
    assert f"damaged or missing: {info.folder / 'manifest.json'}; run the same" in verified.err


DOCUMENT = Path(__file__).parents[3] / "docs/feature-store.md"


def test_the_documented_example_reads_a_store_with_pyarrow_alone(stores, tmp_path):
    """Run as written, but for the folder, in a process that cannot import tssr."""
    texts = [f"{'red blue old '[: 4 * (n % 4)]}{'abcdefgh'[n % 8]}" for n in range(45)]
    texts[2] = texts[40] = None
    workspace, _ = stores(texts)
    (info,) = list_stores(workspace.features("catalogue"))
    example = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL).group(1)
    assert len([line for line in example.splitlines() if line]) <= 10
    example, count = re.subn(r'"workspace/features/.*?"', repr(str(info.folder)), example)
    assert count == 1
    example = "import sys; sys.modules['tssr'] = None\n" + example
    vectors = _vectors(workspace, "catalogue", complete=False)
    for place, number in ((41, 42), (40, 41), (0, 1)):  # item 42, one without a text, the first
        script = example.replace("slice(41,", f"slice({place},")
        printed = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        name, rest = printed.stdout.split(" ", 1)
        assert name == f"id{number}"
        if texts[place] is None:
            assert rest == "no text\n"
        else:
            assert [float(value) for value in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", rest)] == pytest.approx(
                vectors[number].tolist(), rel=1e-3
            )


def test_prune_drops_what_no_item_uses_and_nothing_else(stores):
    workspace, _ = stores(["red", "blue", "old", "shoes", "shirt", "a"])
    (before,) = list_stores(workspace.features("catalogue"))
    kept = sorted(before.folder.glob("part-*"))[1]
    _, grown = stores(["shirt", "shoes", "old", "new"])
    assert sum(part["rows"] for part in _parts(before.folder)) == 7
    _, pruned = stores(["shirt", "shoes", "old", "new"], prune=True)
    assert (grown.data["stores"][0]["encoded"], pruned.data["stores"][0]["encoded"]) == (1, 0)
    assert sum(part["rows"] for part in _parts(before.folder)) == 4
    assert kept.is_file()
    assert (
        len(list(before.folder.glob("part-*"))) == 3
    )  # red and blue's part is gone, shirt and a's rewritten
    stores(["shirt", "shoes", "old", "new"], name="fresh")
    assert _vectors(workspace, "catalogue").tolist() == _vectors(workspace, "fresh").tolist()
    _, again = stores(["shirt", "shoes", "old", "new"], prune=True)
    assert again.cached


def _parts(folder):
    from tssr.features.store import read_manifest

    return read_manifest(folder)["parts"]


def _vectors(workspace, dataset, complete=True):
    from tssr.features.store import open_store

    vectors, present = open_store(list_stores(workspace.features(dataset))[0]).item_features()
    assert present[1:].all() == complete
    return vectors


@pytest.mark.parametrize("name", ["/x", "../x", "*"])
def test_a_name_that_leaves_the_folder_of_features_is_refused(stores, tssr, name):
    failed = tssr("features", "--dataset", name)
    assert (failed.code, failed.err.count("\n")) == (2, 1)
    assert "use letters, digits" in failed.err
