"""`tssr export`: the files alone rank as tssr does, for each kind of model, and what cannot leave says so."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import onnxruntime
import pyarrow as pa
import pytest

from tssr.cli import main
from tssr.core.errors import ArtifactError
from tssr.features.store import list_stores, open_store
from tssr.model.registry import MODELS
from tssr.pipeline.export import item_side, proof, serving
from tssr.pipeline.export.card import FILES
from tssr.pipeline.export.tables import write_arrow, write_index, write_items

ITEMS, LATE = 24, 2  # the last LATE items are only ever a test target
SMALL = ("--width", "8", "--heads", "2", "--max-epochs", "1", "--batch-size", "8")
RUNS = {
    "pop": ("--model", "poprec"),
    "knn": ("--model", "itemknn"),
    "bpr": ("--model", "bpr-mf", "--width", "8", "--max-epochs", "2"),
    "ids": ("--model", "sasrec-id", *SMALL),
    "tied": ("--model", "sasrec-content", "--head", "tied", "--content-scale", "whiten", *SMALL),
    "both": ("--model", "tssr", "--head", "table+content", "--content-scale", "standard", *SMALL),
    "looks": ("--model", "sasrec-content", "--head", "content", *SMALL),
    "near": ("--model", "content-knn", "--decay", "0.5", "--last-item", "left-out"),
    "next": ("--model", "order-knn"),
    "rank": ("--model", "tssr-rank", "--max-epochs", "1"),
}
BLENDS = {
    "ids-near": ("ids", "near", "--by-history"),
    "ids-pop": ("ids", "pop"),
    "bpr-near": ("bpr", "near"),
    "ids-next": ("ids", "next"),
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, bert):
    """A log of 20 users, texts for all items, and one run of each kind of model."""
    folder = tmp_path_factory.mktemp("shop")
    draw = np.random.default_rng(3)
    lines = ["user_id,item_id,time"]
    for user in range(20):
        taken = [int(draw.integers(ITEMS - LATE)) for _ in range(12)]
        taken += [ITEMS - LATE + user % LATE] if user < 8 else []
        lines += [f"u{user},i{item},{time // 2}" for time, item in enumerate(taken)]
    (folder / "log.csv").write_text("\n".join(lines))
    names = [f"i{item},{'red' if item % 2 else 'blue'} [shirt] {chr(97 + item)}" for item in range(ITEMS)]
    (folder / "items.csv").write_text("\n".join(["item_id,text", *names]))
    mapping = "user=user_id,item=item_id,time=time,text=text"
    files = ("--interactions", folder / "log.csv", "--items", folder / "items.csv", "--map", mapping)
    for arguments in (
        ("preprocess", "custom", "--dataset", "late", "--min-actions", "0", *files),
        ("extract-features", "--modality", "text", "--encoder", bert),
        *(("train", "--run", name, *options) for name, options in RUNS.items()),
        *(("blend", *options, "--run", name) for name, options in BLENDS.items()),
    ):
        main([str(part) for part in (*arguments, "--workspace", folder)])
    return folder


@pytest.fixture
def export(tssr, workspace, tmp_path):
    """Run `tssr export --json` into the folder `out` of the test's own."""
    return lambda *options: tssr(
        "export", "--workspace", workspace, "--output", tmp_path / "out", "--json", *options
    )


@pytest.fixture(scope="module")
def ids_exported(workspace):
    """The export of the run `ids`, which several tests look at; its test metrics are not there yet."""
    main(["export", "--workspace", str(workspace), "--run", "ids", "--output", str(workspace / "served")])
    return workspace / "served"


def rank(folder: Path, lines: list) -> list[dict]:
    """Ask the exported rank.py, in a process that could not import tssr."""
    asked = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run(
        [sys.executable, "-I", folder / "rank.py"], input=asked, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_exported_files_rank_as_tssr_does(ids_exported, tssr, workspace, tmp_path):
    found = json.loads((ids_exported / "export.json").read_text())
    assert found["check"]["equal"] == found["check"]["users"] == 20
    assert found["graphs_differ_by"] < 1e-5
    (ours,) = rank(ids_exported, [["i3", "no such item", "i7"]])
    (tmp_path / "new.txt").write_text("i3 i7\n")
    asked = ("recommend", "--workspace", workspace, "--run", "ids", "--history", tmp_path / "new.txt")
    (theirs,) = tssr(*asked, "--topk", "20", "--json").json["users"]
    assert ours["items"] == [item["item_id"] for item in theirs["items"]]
    np.testing.assert_allclose(ours["scores"], [item["score"] for item in theirs["items"]], atol=1e-5)


def test_every_file_is_named_in_the_card_and_has_its_checksum(ids_exported):
    folder = ids_exported
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    names = {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    assert set(sums) == names
    for name in names:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sums[name]
    card = (folder / "README.md").read_text()
    assert names - {"README.md"} <= set(FILES)
    assert all(f"`{name}`" in card for name in names - {"README.md"})
    assert "SASRec-ID on late" in card
    assert "20 of 20 users (100.00%) get the same 20 items" in card
    assert "20 users, 24 items, 248 actions; leave-one-out" in card
    assert "The test split was not measured" in card


def test_the_card_shows_the_test_metrics_that_the_run_has(export, tssr, workspace, tmp_path):
    tssr("evaluate", "--workspace", workspace, "--run", "pop", "--mask", "none", "--topk", "5")
    export("--run", "pop")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| Recall@5 | NDCG@5 |" in card
    assert "test split, 20 users, all 24 items ranked, history mask none, ties by mid-rank" in card


def test_vectors_stand_in_arrow_and_npy_alike_and_cold_items_are_not_listed(ids_exported):
    folder = ids_exported
    items = pa.ipc.open_file(folder / "items.arrow").read_all()
    vectors = np.load(folder / "item_vectors.npy")
    assert vectors.shape == (ITEMS, 8)
    np.testing.assert_array_equal(np.array(items["vector"].to_pylist(), np.float32), vectors)
    np.testing.assert_array_equal(items["bias"].to_numpy(), np.load(folder / "item_bias.npy"))
    listed = dict(zip(items["item_id"].to_pylist(), items["listed"].to_pylist(), strict=True))
    assert [item for item, is_listed in listed.items() if not is_listed] == [f"i{ITEMS - 2}", f"i{ITEMS - 1}"]
    assert f"i{ITEMS - 1}" not in rank(folder, [["i1"]])[0]["items"]


@pytest.mark.parametrize(
    ("run", "line", "files", "says"),
    [
        ("pop", ["i1"], {"items.arrow"}, "the counts are exported instead"),
        (
            "knn",
            ["i1", "i4"],
            {"items.arrow", "neighbours.arrow"},
            "the neighbour lists are exported instead",
        ),
        ("bpr", "u3", {"user_vectors.npy", "items.faiss"}, "Only users of the data set have a vector"),
        (
            "next",
            ["i1", "i4"],
            {"successors.arrow", "place_weights.npy"},
            "The newest item of a history is no candidate and stands in no list",
        ),
        ("bpr-near", "u3", {"user_vectors.npy", "user_left_out.npy"}, "the model, or a part of it"),
        ("ids-next", "u3", {"lists.arrow"}, "the best items of every user of the data set are exported"),
    ],
)
def test_a_model_without_a_graph_says_what_it_leaves_instead(export, tmp_path, run, line, files, says):
    found = export("--run", run).json
    assert found["check"]["equal"] == 20
    assert says in " ".join(found["limits"])
    folder = tmp_path / "out"
    assert files <= {path.name for path in folder.iterdir()}
    assert not (folder / "user_side.onnx").exists()
    assert len(rank(folder, [line])[0]["items"]) == 20


def test_neighbours_lie_in_the_order_in_which_a_history_looks_them_up(export, tmp_path):
    """rank.py takes the rows of each item of a history at once, in place of comparing it with all pairs."""
    export("--run", "knn")
    pairs = pa.ipc.open_file(tmp_path / "out" / "neighbours.arrow").read_all()
    assert (np.diff(pairs.column(1).to_numpy()) >= 0).all()
    assert "searchsorted" in (tmp_path / "out" / "rank.py").read_text()
    once, twice = rank(tmp_path / "out", [["i1", "i4"], ["i4", "i1", "i1", "i4"]])
    assert once == twice, "an action that is repeated counts once"


@pytest.mark.parametrize(
    ("run", "inputs", "outputs"),
    [
        pytest.param("near", ["items"], ["states", "left_out"], marks=pytest.mark.slow),
        ("ids-near", ["items", "lengths"], ["states", "left_out"]),
        pytest.param("ids-pop", ["items"], ["states"], marks=pytest.mark.slow),
    ],
)
def test_neighbours_by_content_and_blends_are_one_graph_and_one_index(
    export, tssr, workspace, tmp_path, run, inputs, outputs
):
    found = export("--run", run).json
    assert found["check"]["equal"] + found["check"]["ties"] == 20
    session = onnxruntime.InferenceSession(tmp_path / "out" / "user_side.onnx")
    assert [each.name for each in session.get_inputs()] == inputs
    assert [each.name for each in session.get_outputs()] == outputs
    # A history longer than every window: its length still counts, and its newest item may be no candidate.
    history = [f"i{item % 9}" for item in range(60)]
    (ours,) = rank(tmp_path / "out", [history])
    (tmp_path / "new.txt").write_text(" ".join(history) + "\n")
    asked = ("recommend", "--workspace", workspace, "--run", run, "--history", tmp_path / "new.txt")
    (theirs,) = tssr(*asked, "--topk", "20", "--json").json["users"]
    assert ours["items"] == [item["item_id"] for item in theirs["items"]]
    assert len(outputs) == 1 or history[-1] not in ours["items"]


@pytest.mark.parametrize(
    "run",
    [
        "ids-near",
        *(pytest.param(run, marks=pytest.mark.slow) for run in ("looks", "near", "tied", "both", "bpr-near")),
    ],
)
def test_content_of_new_items_becomes_the_vectors_that_cold_items_have(export, workspace, tmp_path, run):
    outcome = export("--run", run, "--cold-items")
    assert outcome.code == 0, outcome.err
    found = outcome.json
    side = found["item_side"]
    assert (side["items"], [each["modality"] for each in side["reads"]]) == (ITEMS, ["text"])
    assert side["difference"] < 1e-3
    vectors, bias = vectors_of_new(tmp_path / "out", *content_of(workspace))
    # Two items are cold: tssr gives them these vectors itself, and they stand in the exported table.
    items = pa.ipc.open_file(tmp_path / "out" / "items.arrow").read_all()
    cold = [items["item_id"].to_pylist().index(f"i{ITEMS - late}") for late in range(1, LATE + 1)]
    np.testing.assert_allclose(vectors[cold], np.array(items["vector"].to_pylist())[cold], atol=1e-3)
    np.testing.assert_allclose(bias[cold], items["bias"].to_numpy()[cold], atol=1e-3)
    assert len(np.unique(vectors.round(4), axis=0)) == ITEMS
    assert f"Checked on {ITEMS} items taken for new" in (tmp_path / "out" / "README.md").read_text()


def content_of(workspace):
    (store,) = list_stores(workspace / "features" / "late")
    vectors, present = open_store(store).item_features()
    return vectors[1:].astype(np.float32), present[1:, None]


def vectors_of_new(folder, content, present):
    session = onnxruntime.InferenceSession(folder / "item_side.onnx")
    return session.run(None, {"content": content, "present": present})


@pytest.mark.slow
def test_a_new_item_is_listed_where_its_twin_is(export, workspace, tmp_path):
    """An item with the very content of another one, added to the exported index, is found beside it."""
    export("--run", "near")
    folder = tmp_path / "out"
    content, present = content_of(workspace)
    vectors, bias = vectors_of_new(folder, content[4:5], present[4:5])
    index = faiss.read_index(str(folder / "items.faiss"))
    index.add_with_ids(np.column_stack([vectors, bias]), np.array([1000]))
    _, numbers = index.search(np.column_stack([vectors, [[1.0]]]).astype(np.float32), 2)
    assert sorted(numbers[0].tolist()) == [5, 1000]


def test_where_a_new_item_has_no_vector_the_card_says_so(ids_exported):
    assert not (ids_exported / "item_side.onnx").exists()
    card = (ids_exported / "README.md").read_text()
    assert "a new one has no vector and is in no list until the model is trained again" in card


def test_an_item_side_that_gives_other_vectors_leaves_no_folder(export, tmp_path, monkeypatch):
    true = item_side._run
    monkeypatch.setattr(item_side, "_run", lambda *given: [part + 1 for part in true(*given)])
    failed = export("--run", "near")
    assert "the exported item side gives items other vectors than the run, by 1.0e+00" in failed.err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_card_of_a_blend_shows_its_parts(export, tmp_path):
    export("--run", "ids-near")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "of the sum: `--model sasrec-id" in card
    assert "of the sum: `--model content-knn" in card


@pytest.mark.parametrize("run", ["looks", "rank"])
def test_cold_items_stand_in_lists_on_request(export, tssr, workspace, tmp_path, run):
    found = export("--run", run, "--cold-items").json
    assert (found["listed_items"], found["check"]["equal"] + found["check"]["ties"]) == (ITEMS, 20)
    refused = tssr(
        "export", "--workspace", workspace, "--run", "ids", "--cold-items", "--output", tmp_path / "more"
    )
    assert "--cold-items: this model knows an item by its actions alone" in refused.err


@pytest.mark.parametrize(("run", "asked"), [("looks", ["i3", "i7"]), ("rank", "u19")])
def test_a_bonus_for_cold_items_is_in_the_exported_scores(export, tssr, workspace, tmp_path, run, asked):
    found = export("--run", run, "--cold-items", "--cold-bonus", "1000")
    assert found.code == 0, found.err
    check = found.json["check"]
    assert (found.json["cold_bonus"], check["equal"] + check["ties"]) == (1000, 20)
    (listed,) = rank(tmp_path / "out", [asked])
    assert set(listed["items"][:LATE]) == {f"i{ITEMS - late}" for late in range(1, LATE + 1)}
    assert listed["scores"][LATE - 1] > 900 > abs(listed["scores"][LATE])
    assert "have 1000 added (--cold-bonus)" in (tmp_path / "out" / "README.md").read_text()
    if run == "looks":  # a new item is a cold one, so it has the bonus as well
        _, bias = vectors_of_new(tmp_path / "out", *content_of(workspace))
        assert bias.min() > 900
    alone = tssr("export", "--run", run, "--cold-bonus", "1", "--output", tmp_path / "alone")
    assert (alone.code, alone.err) == (
        2,
        "error: --cold-bonus 1 is for items ranked by --cold-items; give that too\n",
    )


def test_lists_of_a_blend_hold_cold_items_by_their_content(export, tssr, workspace, monkeypatch):
    """To its part that counts pairs a cold item is the mean of the others, not one that nobody took."""
    made = tssr("blend", "next", "near", "--run", "next-near", "--workspace", workspace)
    assert made.code == 0, made.err

    def evenly_weighted(*arguments):
        model = trained(*arguments)
        model.of_item.fill_(0.5)  # on a log of random numbers, validation may leave a part out
        return model

    trained = serving.trained_model
    monkeypatch.setattr(serving, "trained_model", evenly_weighted)
    found = export("--run", "next-near", "--cold-items")
    assert found.code == 0, found.err
    assert found.json["kind"] == "lists"
    assert found.json["check"]["equal"] + found.json["check"]["ties"] == 20


def test_items_of_equal_vectors_stand_in_the_order_of_their_numbers(tmp_path):
    """As tssr has them; FAISS gives ties in any order, and equal rows other last bits."""
    draw, count = np.random.default_rng(2), 60
    kinds = draw.permutation(np.repeat(np.arange(12), 5))
    vectors = draw.normal(size=(12, 385)).astype(np.float32)[kinds]
    users = draw.normal(size=(40, 385)).astype(np.float32)
    bias, numbers = np.zeros(count, np.float32), np.arange(1, count + 1)
    table = pa.table({"item": numbers, "item_id": [f"i{number}" for number in numbers]})
    write_items(tmp_path, table, vectors, bias)
    write_index(tmp_path / "items.faiss", vectors, bias, numbers)
    write_arrow(pa.table({"user_id": [f"u{user}" for user in range(40)]}), tmp_path / "users.arrow")
    np.save(tmp_path / "user_vectors.npy", users)
    shutil.copy(Path(serving.__file__).parent / "standalone" / "rank_users.py", tmp_path / "rank.py")
    found = rank(tmp_path, [f"u{user}" for user in range(40)])
    scores = users.astype(np.float64) @ vectors.astype(np.float64).T
    for line, own in zip(found, scores.round(9), strict=True):
        assert line["items"] == [f"i{place + 1}" for place in np.lexsort((numbers, -own))[:20]]


def test_a_list_that_differs_in_more_than_ties_leaves_no_folder(export, tmp_path, monkeypatch):
    true = proof._lists_of

    def wrong(folder, asked):
        lists = true(folder, asked)
        lists[4]["items"].reverse()
        return lists

    monkeypatch.setattr(proof, "_lists_of", wrong)
    failed = export("--run", "ids")
    assert "rank otherwise than the run for 1 of 20 users" in failed.err
    assert not (tmp_path / "out").exists()


def test_a_program_that_imports_tssr_proves_nothing(tmp_path):
    (tmp_path / "rank.py").write_text("import sys\nsys.modules['torch'] = sys\n")
    with pytest.raises(ArtifactError, match=r"rank.py fails \(rank.py imported tssr or torch\)"):
        proof._lists_of(tmp_path, [])


def test_what_cannot_be_meant_is_one_line(tssr, workspace, tmp_path, monkeypatch):
    def said(*options):
        outcome = tssr("export", "--workspace", workspace, *options)
        assert outcome.code == 2
        return outcome.err

    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep me")
    assert "the folder is not empty; name a new one" in said("--run", "ids", "--output", tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    (tmp_path / "file").touch()
    assert "that is a file; name a new folder" in said("--run", "ids", "--output", tmp_path / "file")
    assert "--output DIR is missing" in said("--run", "ids")
    assert "--dataset belongs to --to recbole" in said("--dataset", "late", "--output", "x")
    assert "--to recbole writes a data set" in said("--to", "recbole", "--run", "ids", "--output", "x")
    monkeypatch.setattr("tssr.pipeline.export.graphs.NEEDED", ("onnx", "no_such_module"))
    assert "export needs no_such_module; install them with: pip install 'tssr[export]'" in said(
        "--output", "x"
    )


TESTED_APART = ("bpr-mf", "sasrec-id")


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", [name for name, spec in MODELS.items() if spec.trained and name not in TESTED_APART]
)
def test_every_trained_model_leaves_and_is_checked(tssr, export, workspace, model):
    options = list(SMALL)
    if "heads" not in MODELS[model].settings.model_fields:
        place = options.index("--heads")
        del options[place : place + 2]
    trained = tssr("train", "--workspace", workspace, "--model", model, "--run", model, *options)
    assert trained.code == 0, trained.err
    found = export("--run", model).json
    assert found["check"]["equal"] == 20
    # What these add up is no inner product: their users' lists are exported.
    listed = model in ("tssr-late", "tssr-rank", "rank-id")
    assert found["kind"] == "lists" if listed else found["graphs_differ_by"] < 1e-4


def test_to_sequences_writes_what_preprocess_reads_back(tssr, export, tmp_path):
    found = export("--to", "sequences").json
    assert found["counts"]["actions"] == 248
    again = ("preprocess", "custom", "--format", "sequences", "--dataset", "again", "--min-actions", "0")
    tssr(*again, "--interactions", tmp_path / "out" / "sequences.txt", "--workspace", tmp_path / "w")
    first = (tmp_path / "out" / "sequences.txt").read_text().splitlines()
    assert len(first) == 20
    tssr("export", "--workspace", tmp_path / "w", "--to", "sequences", "--output", tmp_path / "twice")
    items, users = (outside_ids(tmp_path / "twice", name) for name in ("item", "user"))
    lines = [line.split() for line in (tmp_path / "twice" / "sequences.txt").read_text().splitlines()]
    read_back = {users[line[0]]: [items[item] for item in line[1:]] for line in lines}
    assert read_back == {line.split()[0]: line.split()[1:] for line in first}


def outside_ids(folder: Path, what: str) -> dict[str, str]:
    rows = [json.loads(line) for line in (folder / f"{what}s.jsonl").read_text().splitlines()]
    return {str(row[what]): row[f"{what}_id"] for row in rows}


def test_to_recbole_writes_atomic_files(export, workspace, tmp_path):
    export("--to", "recbole", "--dataset", "late")
    inter = (tmp_path / "out" / "late" / "late.inter").read_text().splitlines()
    assert inter[0] == "user_id:token\titem_id:token\tposition:float\ttimestamp:float"
    assert len(inter) == 1 + 248
    rows = [line.split("\t") for line in inter[1:]]
    assert [row[2] for row in rows if row[0] == "0"] == [str(place) for place in range(13)]
    items = (tmp_path / "out" / "late" / "late.item").read_text().splitlines()
    assert items[0] == "item_id:token\toutside_id:token\ttext:token_seq"
    assert len(items) == 1 + ITEMS
    assert "TIME_FIELD: position" in (tmp_path / "out" / "recbole.yaml").read_text()


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("recbole", "RecBole cannot be told that, so divide its .inter file by the column timestamp"),
        ("sequences", "sequences.txt has no times, so it does not hold the split"),
    ],
)
def test_a_split_that_the_files_cannot_hold_is_told(tssr, tmp_path, to, words):
    (tmp_path / "log.csv").write_text(
        "user,item,time\n"
        + "".join(f"u{user},i{(user + time) % 5},{time}\n" for user in range(4) for time in range(9))
    )
    made = ("preprocess", "custom", "--interactions", "log.csv", "--map", "user=user,item=item,time=time")
    by_time = ("--split", "time", "--validation-from", "5", "--test-from", "7")
    assert tssr(*made, "--dataset", "timed", "--min-actions", "0", *by_time).code == 0
    assert tssr(*made, "--dataset", "last", "--min-actions", "0").code == 0
    said = tssr("export", "--to", to, "--dataset", "timed", "--output", "timed")
    moments = "The split is by time, validation from 5 on, test from 7 on"
    assert f"{moments}; {words}" in " ".join(said.out.split())
    assert (
        "The split is leave-one-out."
        in tssr("export", "--to", to, "--dataset", "last", "--output", "last").out
    )
    if to == "recbole":
        timed, last = ((tmp_path / name / "recbole.yaml").read_text() for name in ("timed", "last"))
        assert timed.startswith("# Our order in RecBole; ")
        assert "eval_args:" not in timed
        assert "from 7 on the test part" in timed
        assert last.startswith("# Our order and split in RecBole; ")
        assert "eval_args: {split: {LS: valid_and_test}" in last
        assert "load_col: {inter: [user_id, item_id, position]}" in last
