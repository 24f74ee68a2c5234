"""The test split is sealed: what trains, tunes and chooses never depends on it, and each reading is noted."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tssr.cli import main
from tssr.core.dataset import describe_dataset, load_dataset
from tssr.core.workspace import WorkspaceFolders

ROOT = Path(__file__).resolve().parents[3]
ENCODER = ("--modality", "image", "--encoder", "squeezenet1_1", "--weights", "random", "--workers", "0")
SHORT = ("--width", "8", "--max-epochs", "2", "--batch-size", "16", "--length", "6")
RUNS = {
    "poprec": (),
    "itemknn": (),
    "sasrec-id": ("--heads", "1", *SHORT),
    "tssr": ("--heads", "1", *SHORT),
    "content-knn": (),
    "order-knn": (),
    "tssr-late": ("--heads", "1", *SHORT),
}
TIMES = re.compile(r'"(finished_at|seconds|positions_per_second|peak_memory)": [^,}\n]+')


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory, shop):
    """A workspace, and its twin in which every test target is another item."""
    folder = tmp_path_factory.mktemp("prepared")
    main(["preprocess", "hm", "--raw", str(shop), "--workspace", str(folder / "one")])
    main(["extract-features", *ENCODER, "--workspace", str(folder / "one")])
    shutil.copytree(folder / "one", folder / "twin")
    path = WorkspaceFolders(folder / "twin").dataset("hm") / "interactions.parquet"
    info = describe_dataset(path.parent)
    last = load_dataset(info).split().test.histories.ends  # where in the table each target stands
    table = pq.read_table(path)
    items = table["item"].to_numpy().copy()
    items[last] = items[last] % info.item_count + 1
    changed = table.set_column(table.column_names.index("item"), table.schema.field("item"), pa.array(items))
    pq.write_table(changed, path)
    assert not np.array_equal(table["item"].to_numpy(), items)
    return folder / "one", folder / "twin"


def artifacts(folder):
    """Every file's bytes by name, without the times that no two runs share."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".lock":
            data = path.read_bytes()
            if path.suffix in (".json", ".jsonl"):
                data = TIMES.sub("", data.decode()).encode()
            found[str(path.relative_to(folder))] = data
    return found


@pytest.mark.parametrize("model", RUNS)
def test_other_test_targets_change_no_byte_of_a_training(tssr, workspaces, model):
    found = []
    for workspace in workspaces:
        trained = tssr("train", "--workspace", workspace, "--model", model, *RUNS[model], "--run", model)
        assert trained.code == 0, trained.err
        found.append(artifacts(workspace / "runs" / model))
    assert "model.safetensors" in found[0]
    assert found[0] == found[1]
    asked = ("evaluate", "--run", model, "--topk", "5", "--json")
    scored = [tssr(*asked, "--workspace", workspace).json for workspace in workspaces]
    assert scored[0]["measurements"] != scored[1]["measurements"], "the test itself sees the other targets"


@pytest.mark.parametrize("options", [(), ("--by-popularity", "--by-history")])
def test_other_test_targets_change_no_byte_of_a_blend(tssr, workspaces, options):
    """Its weights are chosen, and so are classes of items and users that have weights of their own."""
    parts, name, found = ("order-knn", "poprec", "content-knn"), f"blend-{len(options)}", []
    for workspace in workspaces:
        for part in parts:
            tssr("train", "--workspace", workspace, "--model", part, "--run", f"part-{part}")
        runs = [f"part-{part}" for part in parts]
        blended = tssr("blend", *runs, *options, "--workspace", workspace, "--run", name)
        assert blended.code == 0, blended.err
        found.append(artifacts(workspace / "runs" / name))
    assert "model.safetensors" in found[0]
    assert found[0] == found[1]
    asked = ("evaluate", "--run", name, "--topk", "5", "--json")
    scored = [tssr(*asked, "--workspace", workspace).json for workspace in workspaces]
    assert scored[0]["measurements"] != scored[1]["measurements"], "the test itself sees the other targets"


@pytest.mark.slow
def test_other_test_targets_change_no_byte_of_what_is_tuned(tssr, workspaces, commands):
    pytest.importorskip("optuna")
    found = []
    for workspace in workspaces:
        options = ("--try", "neighbours=2,5", "--trials", "2")
        tuned = tssr("tune", "itemknn", "--workspace", workspace, *options)
        assert tuned.code == 0, tuned.err
        found.append(next((workspace / "tuning").glob("*.toml")).read_text())
    assert found[0] == found[1]


def test_every_reading_of_the_test_split_is_noted(tssr, workspaces, commands):
    workspace = workspaces[0]
    asked = ("--workspace", workspace, "--topk", "3", "--json")
    tssr("train", "--workspace", workspace, "--model", "poprec", "--run", "noted")
    notes = workspace / "runs" / "noted" / "test-readings.jsonl"
    tssr("evaluate", *asked, "--run", "noted", "--split", "validation")
    assert not notes.exists()
    for _ in range(2):  # the second answers from the first
        assert tssr("evaluate", *asked, "--run", "noted").code == 0
    tssr("evaluate", *asked, "--run", "noted", "--force")
    assert [json.loads(line)["by"] for line in notes.read_text().splitlines()] == ["evaluate"] * 2
    compared = tssr("compare", "--models", "poprec", *asked)
    assert compared.code == 0, compared.err
    run = compared.json["contenders"]["poprec"]["runs"][0]["run"]
    lines = (workspace / "runs" / run / "test-readings.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["by"] == "compare"


def test_a_run_that_is_trained_again_keeps_its_readings(tssr, workspaces):
    """The readings of old weights stay listed, told apart by the weights, and `evaluate` counts them."""
    where = ("--workspace", workspaces[0], "--run", "again")
    train = ("train", "--model", "sasrec-id", "--heads", "1", *SHORT, *where)
    tssr(*train)
    once = tssr("evaluate", *where, "--topk", "3")
    assert "was measured on the test split" not in once.out
    tssr(*train, "--seed", "2", "--force")
    twice = tssr("evaluate", *where, "--topk", "3")
    assert (
        "this run was measured on the test split 2 times, with 2 different weights (test-readings.jsonl)"
        in twice.out
    )
    folder = workspaces[0] / "runs" / "again"
    lines = [json.loads(line) for line in (folder / "test-readings.jsonl").read_text().splitlines()]
    now = json.loads((folder / "run.json").read_text())["result"]["weights_sha256"]
    assert lines[0]["weights"] != lines[1]["weights"] == now
    for line in ("half a li", "[" * 100_000):
        (folder / "test-readings.jsonl").write_text("{}\n" + line)
        damaged = tssr("evaluate", *where, "--topk", "3")
        assert (damaged.code, damaged.err.count("\n")) == (1, 1)
        assert "test-readings.jsonl is damaged" in damaged.err


def test_only_what_measures_and_shows_touches_the_test_split():
    allowed = ("pipeline/runs/evaluate.py", "pipeline/demo/", "pipeline/report/")
    rooms = ("model", "features", "evaluation", "pipeline")
    touching = {
        str(path.relative_to(ROOT))
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
        if re.search(r"split(\([a-z.]*\))?\.test\b|leave_one_out\(\)\.test\b", path.read_text())
    }
    assert "pipeline/runs/evaluate.py" in touching
    assert [name for name in touching if not name.startswith(allowed)] == []
