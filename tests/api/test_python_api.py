"""The Python interface: names and signatures that stay, the README's ten lines, frames of any kind."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tssr
from tssr.core.errors import DataError, TssrError, UsageError
from tssr.features.store import list_stores, open_store

SMALL = {"width": 8, "heads": 2, "feedforward_width": 8, "max_epochs": 1, "batch_size": 8, "device": "cpu"}

PUBLIC = {
    "Workspace": ["folder"],
    "Workspace.preprocess": [
        "source", "interactions", "items", "user", "item", "time", "text", "image", "dataset", "force",
        "settings",
    ],
    "Workspace.dataset": ["name"],
    "Workspace.run": ["name"],
    "Workspace.demo": ["force", "settings"],
    "Workspace.blend": ["runs", "name", "device", "force", "settings"],
    "Workspace.report": ["settings"],
    "Workspace.reproduce": ["what", "name", "train", "settings"],
    "Workspace.status": [],
    "Workspace.clean": ["yes"],
    "Dataset.extract_features": ["modalities", "force", "settings"],
    "Dataset.import_features": ["modality", "vectors", "ids", "key", "name"],
    "Dataset.evaluate_lists": ["lists", "name", "force", "settings"],
    "Dataset.train": ["model", "force", "make", "settings"],
    "Dataset.compare": ["models", "tried", "variants", "settings"],
    "Dataset.tune": ["model", "tried", "settings"],
    "Dataset.export": ["output", "to"],
    "Run.evaluate": ["force", "settings"],
    "Run.recommend": ["histories", "users", "user", "item", "time", "settings"],
    "Run.export": ["output", "cold_items", "cold_bonus"],
    "register_model": ["name", "title", "settings", "reads_content", "trained"],
}  # fmt: skip


def rows(users=12, items=12, length=7):
    draw = np.random.default_rng(5)
    return pl.DataFrame(
        [
            {"customer": f"c{user}", "sku": f"s{int(draw.integers(items))}", "when": 100 * user + step}
            for user in range(users)
            for step in range(length)
        ]
    )


@pytest.fixture
def workspace(tmp_path):
    return tssr.Workspace(tmp_path / "workspace")


def preprocess(workspace, frame, **more):
    columns = {"user": "customer", "item": "sku", "time": "when", "min_actions": 0}
    return workspace.preprocess(interactions=frame, **columns | more)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_keep_their_parameters(name):
    value = tssr
    for part in name.split("."):
        value = getattr(value, part)
    parameters = [parameter for parameter in inspect.signature(value).parameters if parameter != "self"]
    assert parameters == PUBLIC[name]
    assert inspect.getdoc(value)


def test_all_public_names_can_be_had_and_others_cannot():
    assert {name.split(".")[0] for name in PUBLIC} <= set(tssr.__all__)
    assert all(getattr(tssr, name) is not None for name in tssr.__all__)
    assert set(dir(tssr)) == set(tssr.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tssr.nothing


def test_importing_tssr_imports_nothing_heavy():
    # What is there before may come from the machine: a sitecustomize that sets torch's precision loads torch.
    script = (
        "import json, sys; was = set(sys.modules); import tssr; tssr.TssrError; "
        "print(json.dumps(sorted(set(sys.modules) - was)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "polars", "pyarrow", "pydantic", "click"} & set(json.loads(done.stdout))


def test_ten_lines(workspace, bert, capsys):
    """The lines of the README, with small settings."""
    names = [f"{('red', 'blue')[n % 2]} {('shirt', 'shoes')[n % 3 % 2]} {chr(97 + n)}" for n in range(12)]
    items = pl.DataFrame({"sku": [f"s{n}" for n in range(12)], "name": names, "category": ["old"] * 12})
    shop = workspace.preprocess(
        interactions=rows(), items=items, user="customer", item="sku", time="when", text=["name", "category"],
        min_actions=0,
    )  # fmt: skip
    made = shop.extract_features("text", encoder=str(bert))
    run = shop.train("tssr", learning_rate=1e-3, **SMALL)
    measured = run.evaluate(topk=[5])
    listed = run.recommend(histories=[["s1", "s2"], ["s3", "unknown"]], topk=3)
    assert repr(shop) == "Dataset('custom'): 12 users, 12 items, 84 actions"
    assert "text" in repr(made)
    assert measured["mask"].to_list() == ["none", "exempt", "hard"]
    assert {"run", "model", "split", "queries", "candidates", "ties", "recall@5", "ndcg@5"} <= set(
        measured.columns
    )
    assert measured["queries"].to_list() == [12] * 3
    assert listed.columns == ["user_id", "rank", "item_id", "score", "text"]
    assert listed["user_id"].to_list() == ["history 1"] * 3 + ["history 2"] * 3
    assert set(listed["text"]) <= {f"{name}. old" for name in names}
    assert "1 of 4 actions are on items that custom does not have (unknown)" in capsys.readouterr().err
    assert repr(run).startswith(f"Run('{run.name}'): tssr on custom, validation NDCG@10 0.")
    assert workspace.runs == [run.name]
    assert workspace.run().name == run.name
    for shown in (workspace, shop, made, run):
        assert "<table>" in shown._repr_html_()
    assert "feedforward" in str(run.record["settings"])


def test_it_is_the_same_code_as_the_commands(workspace, tssr_command):
    shop = preprocess(workspace, rows())
    run = shop.train("sasrec-id", **SMALL)
    words = [word for name, value in SMALL.items() for word in ("--" + name.replace("_", "-"), value)]
    folder = ("--workspace", workspace.folder, "--json")
    trained = tssr_command("train", "--model", "sasrec-id", *words, *folder)
    assert trained.code == 0, trained.err
    again = trained.json
    assert (again["run"], again["cached"]) == (run.name, True)
    ours = run.recommend(users=["c3"], topk=4)
    theirs = tssr_command("recommend", "--user", "c3", "--topk", "4", *folder).json["users"][0]["items"]
    assert ours["item_id"].to_list() == [item["item_id"] for item in theirs]
    assert ours["score"].to_list() == [item["score"] for item in theirs]
    measured = tssr_command("evaluate", "--topk", "10", *folder).json["measurements"]
    assert run.evaluate(topk=10)["ndcg@10"].to_list() == [one["metrics"]["ndcg@10"] for one in measured]


@pytest.fixture
def tssr_command(request):
    return request.getfixturevalue("tssr")


def frames():
    frame = rows()
    table = frame.to_arrow()
    plain = pd.DataFrame(frame.to_dict(as_series=False))
    return {
        "polars": frame,
        "pandas": plain,
        "arrow": table,
        "categories": plain.astype({"sku": "category", "customer": "category"}),
        "time zone": plain.assign(
            when=pd.to_datetime(plain["when"], unit="s", utc=True).dt.tz_convert("Asia/Tokyo")
        ),
        "whole floats": plain.assign(when=plain["when"].astype(float)),
        "batches": pa.RecordBatchReader.from_batches(table.schema, table.to_batches()),
    }


@pytest.mark.parametrize("kind", frames())
def test_a_frame_of_any_kind_gives_the_same_tables(workspace, kind):
    shop = preprocess(workspace, frames()[kind], dataset="one")
    other = preprocess(workspace, rows(), dataset="other")
    assert shop.interactions.equals(other.interactions)
    assert shop.items["item_id"].equals(other.items["item_id"])
    assert preprocess(workspace, frames()[kind], dataset="one").summary.cached


NO_ID = rows().with_columns(pl.when(pl.col("when") % 100 == 0).then(None).otherwise("sku").alias("sku"))
MIXED = pd.DataFrame({"customer": ["a", 1], "sku": ["x", "y"], "when": [1, 2]})
NESTED = pl.DataFrame({"customer": ["a"], "sku": [{"id": 1}], "when": [1]})


@pytest.mark.parametrize(
    ("frame", "more", "error", "says"),
    [
        (rows(), {"user": "who"}, UsageError, "interactions has no column 'who'; it has customer, sku, when"),
        (MIXED, {}, DataError, "interactions holds a column that is of no one type"),
        (NESTED, {}, DataError, r"column 'sku' is of type Struct.*convert it to text or numbers"),
        (
            rows().lazy(),
            {},
            UsageError,
            r"interactions is a LazyFrame, which has no rows yet; give its .collect\(\)",
        ),
        ([1, 2], {}, UsageError, "interactions is a list; give a Polars, pandas or Arrow table"),
        (rows(), {"text": "name"}, UsageError, "text='name' names a column of items; give items= as well"),
        (rows(), {"time": "a+b"}, UsageError, r"column 'a\+b': .*cannot be mapped; rename the column"),
        (
            rows(),
            {"min_action": 3},
            UsageError,
            "--min-action: unknown setting 'min_action'; did you mean min_actions",
        ),
        (rows(), {"min_actions": "few"}, UsageError, "--min-actions: should be a valid integer"),
        (None, {}, UsageError, "custom needs interactions="),
    ],
)
def test_bad_frames_are_one_sentence(workspace, frame, more, error, says):
    with pytest.raises(error, match=says) as caught:
        preprocess(workspace, frame, **more)
    assert isinstance(caught.value, TssrError)
    assert "\n" not in str(caught.value)
    assert workspace.datasets == []


def test_rows_without_an_id_are_left_out_and_said(workspace):
    with pytest.raises(DataError, match=r"12 of 84 rows .* sku is empty; fill it in, .*--allow-loss"):
        preprocess(workspace, NO_ID)
    shop = preprocess(workspace, NO_ID, allow_loss=True)
    assert len(shop.interactions) == 72
    assert "sku is empty" in repr(shop.summary)


def test_other_misuse_is_one_sentence(workspace):
    with pytest.raises(UsageError, match="holds no data set; make one first"):
        workspace.dataset()
    with pytest.raises(UsageError, match="preprocess nosuch: there are hm"):
        workspace.preprocess("nosuch")
    with pytest.raises(UsageError, match="interactions and items belong to custom; hm has a fixed layout"):
        workspace.preprocess("hm", interactions=rows())
    shop = preprocess(workspace, rows())
    with pytest.raises(UsageError, match="--lambda-user: sasrec-id has no such option; it has"):
        shop.train("sasrec-id", lambda_user=1)
    with pytest.raises(UsageError, match="--model: unknown model 'nosuch'; there are poprec"):
        shop.train("nosuch")
    run = shop.train("poprec")
    with pytest.raises(UsageError, match="give histories= or users=, not both"):
        run.recommend(histories=[["s1"]], users=["c0"])
    with pytest.raises(UsageError, match="users= names nobody"):
        run.recommend(users=[])
    with pytest.raises(UsageError, match=r"histories= 's1' is one text; give a list, as in \['s1'\]"):
        run.recommend(histories=["s1"])
    with pytest.raises(
        DataError, match=r"histories= leaves nobody to recommend to: 1 of 1 actions .*\(nosuch\)"
    ):
        run.recommend(histories=[["nosuch"]])
    with pytest.raises(UsageError, match="--user nobody: custom has no such user; its first is c0"):
        run.recommend(users=["nobody"])
    with pytest.raises(UsageError, match="a data set goes to recbole or sequences"):
        shop.export(workspace.folder / "out", to="serving")


@pytest.mark.parametrize(
    "kind", [pl.DataFrame, lambda rows: pl.DataFrame(rows).to_pandas(), pa.Table.from_pylist]
)
def test_a_table_of_actions_gives_the_lists_of_its_histories(workspace, kind):
    shop = preprocess(workspace, rows())
    run = shop.train("itemknn")
    lists = run.recommend(histories=[["s1", "s2", "s3"], ["s4"]], topk=5)
    # The rows of "x" are out of order, and one item is unknown.
    took = [("x", "s3", 9), ("y", "s4", 1), ("x", "s1", 2), ("x", "s2", 3), ("y", "nosuch", 0)]
    table = kind([dict(zip(("who", "what", "when"), row, strict=True)) for row in took])
    columns = {"user": "who", "item": "what", "time": "when"}
    found = run.recommend(histories=table, **columns, topk=5)
    assert found["user_id"].unique(maintain_order=True).to_list() == ["x", "y"]
    assert found.drop("user_id").equals(lists.drop("user_id"))
    with pytest.raises(DataError, match=r"histories=: 1 of 5 actions are on items .*\(nosuch\)"):
        run.recommend(histories=table, **columns, strict=True)
    with pytest.raises(UsageError, match="histories= has no column 'user_id'; it has who, what, when"):
        run.recommend(histories=table)
    with pytest.raises(UsageError, match="a name with a comma"):
        run.recommend(histories=table, **columns | {"user": "a,b"})


def _one_process(folder):
    shop = preprocess(tssr.Workspace(folder), rows())
    return repr(shop), shop.train("poprec").name


def test_two_processes_may_work_in_one_workspace(workspace):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        one, other = pool.map(_one_process, [workspace.folder] * 2)
    assert one == other
    assert workspace.runs == [one[1]]


def test_compare_and_export_are_there_too(workspace, commands, tmp_path):
    shop = preprocess(workspace, rows())
    compared = shop.compare(["poprec", "itemknn"], seeds=1, topk=[5], tried={"neighbours": [2, 5]})
    _, head, first, *_ = repr(compared).splitlines()
    assert (head.split()[0], first.split()[0]) == ("model", "poprec")
    assert head.rindex("Recall@5") == first.rindex(f"{compared.frame['recall@5'][0]:.4f}")
    frame = compared.frame
    assert frame["model"].to_list() == ["poprec", "itemknn"]
    assert frame.select("recall@5", "ndcg@5").dtypes == [pl.Float64] * 2
    assert frame["seeds"].dtype.is_integer()
    assert frame["ndcg@5"].to_list() == [one["metrics"]["ndcg@5"] for one in compared.data["models"].values()]
    assert frame.sort("ndcg@5")["ndcg@5"].is_sorted()
    assert len(commands) == 3
    blend = workspace.blend(shop.train("sasrec-id", **SMALL), shop.train("bpr-mf", width=8, max_epochs=1))
    assert blend.evaluate(topk=[5], mask="none")["queries"].to_list() == [12]
    assert blend.export(tmp_path / "blend").data["kind"] == "users"
    assert shop.export(tmp_path / "lines", to="sequences").data["counts"]["actions"] == 84
    assert shop.train("poprec").export(tmp_path / "served").data["check"]["equal"] == 12


def test_the_frames_of_results_hold_numbers(workspace):
    shop = preprocess(workspace, rows())
    beside = workspace.reproduce("table2", dataset=shop.name).frame
    assert beside[:, 1].dtype == pl.Float64
    assert {"kind", "name", "bytes", "age", "state", "unused"} == set(workspace.status().frame.columns)
    assert workspace.status().frame["bytes"].dtype.is_integer()
    shop.import_features("image", VECTORS, name="clip")
    stores = shop.features.frame
    assert (stores["dimension"].item(), stores["items"].dtype.is_integer()) == (3, True)
    for exported in (
        shop.export(workspace.folder / "a", to="sequences"),
        shop.train("poprec").export(workspace.folder / "b"),
    ):
        assert exported.frame["bytes"].dtype.is_integer()


VECTORS = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)


def vectors_of_all_kinds(ids):
    columns = {f"v{place}": VECTORS[:, place] for place in range(3)}
    return {
        "array": ((VECTORS,), {"ids": ids}),
        "in the order of items": ((VECTORS,), {}),
        "polars": ((pl.DataFrame({"sku": ids, **columns}),), {"ids": "sku"}),
        "pandas of lists": ((pd.DataFrame({"item_id": ids, "clip": list(VECTORS)}),), {"key": "clip"}),
        "arrow": ((pa.table({"item_id": ids, **columns}),), {}),
    }


@pytest.mark.parametrize("kind", vectors_of_all_kinds(["i"] * 12))
def test_vectors_of_any_kind_become_the_same_store(workspace, kind):
    shop = preprocess(workspace, rows())
    ids = shop.items["item_id"].to_list()
    given, named = vectors_of_all_kinds(ids)[kind]
    made = shop.import_features("image", *given, **named, name="clip")
    assert made.data["store"].startswith("image-clip-")
    assert shop.import_features("image", *given, **named, name="clip").cached
    (store,) = list_stores(workspace.folder / "features" / shop.name)
    np.testing.assert_array_equal(open_store(store).item_features()[0][1:], VECTORS)
    assert made.data["store"] in repr(shop.features)


def test_vectors_that_cannot_be_meant_are_one_sentence(workspace):
    shop = preprocess(workspace, rows())
    with pytest.raises(UsageError, match="vectors is a list; give a Polars, pandas or Arrow table, an array"):
        shop.import_features("image", [[1.0]])
    with pytest.raises(DataError, match="vectors= has 12 rows, but ids= has 1"):
        shop.import_features("image", VECTORS, ids=["s1"])
    with pytest.raises(UsageError, match="ids= is the name of a column where vectors= is a table"):
        shop.import_features("image", pl.DataFrame({"item_id": ["s1"], "v": [1.0]}), ids=["s1"])
    with pytest.raises(DataError, match="none of its 12 ids is an item of the data set"):
        shop.import_features("image", VECTORS, ids=[f"x{n}" for n in range(12)])


def test_lists_and_scores_of_others_are_measured(workspace, tssr_command):
    shop = preprocess(workspace, rows())
    listed = shop.train("poprec").recommend(users=shop.users["user_id"].to_list(), topk=5)
    listed = listed.select(pl.col("user_id").alias("user"), pl.col("item_id").alias("item"), "rank")
    found = shop.evaluate_lists(listed, topk=[5], mask="none")
    path = workspace.folder / "theirs.parquet"
    listed.write_parquet(path)
    asked = ("--lists", path, "--topk", "5", "--mask", "none", "--workspace", workspace.folder, "--json")
    theirs = tssr_command("evaluate", *asked).json["measurements"][0]["metrics"]
    assert found["ndcg@5"].to_list() == [theirs["ndcg@5"]]
    scores = np.tile(np.arange(12, dtype=np.float32), (12, 1))
    measured = shop.evaluate_lists(scores, name="numbers", topk=5, mask="none")
    assert measured["lists"].to_list() == ["numbers"]
    with pytest.raises(UsageError, match="lists is a dict; give a Polars, pandas or Arrow table, an array"):
        shop.evaluate_lists({})


def test_blends_and_variants_are_compared(workspace, commands):
    shop = preprocess(workspace, rows())
    variants = {"few": {"model": "itemknn", "neighbours": 2}, "both": {"blend": ["poprec", "few"]}}
    compared = shop.compare(["poprec", "few", "both"], variants=variants, seeds=1, topk=[5])
    assert set(compared.data["contenders"]) == {"poprec", "few", "both"}
    for wrong, says in (
        ({"deep": {"blocks": 2}}, r"variants\['deep'\]: deep is no model"),
        ({"one": {"blend": ["poprec"]}}, r"variants\['one'\]: blend takes two models or more"),
        ({"few": {"model": "itemknn", "neighbour": 2}}, "^--neighbour: unknown setting"),
    ):
        with pytest.raises(UsageError, match=says):
            shop.compare(list(wrong), variants=wrong, seeds=1)


def test_an_encoder_is_trained_along(workspace, bert):
    names = [f"{('red', 'blue')[n % 2]} shirt {chr(97 + n)}" for n in range(12)]
    items = pl.DataFrame({"sku": [f"s{n}" for n in range(12)], "name": names})
    shop = preprocess(workspace, rows(), items=items, text="name")
    chosen = {
        "features": "text",
        "end_to_end": True,
        "encoder": str(bert),
        "max_tokens": 8,
        "unfreeze": "last:1",
    }
    run = shop.train("sasrec-content", **chosen, **SMALL)
    assert run.record["end_to_end"]["modalities"] == ["text"]
    with pytest.raises(UsageError, match="holds no tokens"):
        shop.train("sasrec-content", make=False, **chosen | {"unfreeze": ("all",)}, **SMALL)


def test_the_house_is_kept_and_the_paper_made_again(workspace):
    shop = preprocess(workspace, rows(), dataset="toy")
    shop.train("poprec", run="old")
    assert workspace.status().data["next"]
    preprocess(workspace, rows(users=11), dataset="toy")
    assert workspace.clean().data["removed"] == ["run old"]
    assert workspace.runs == ["old"]
    workspace.clean(yes=True)
    assert workspace.runs == []
    made = workspace.reproduce("table2", dataset="toy")
    assert (workspace.folder / "reproduced" / "table2-toy.csv").exists()
    assert "files:" in repr(made)
    with pytest.raises(UsageError, match="reproduce table2 takes no name; 'x' is one too many"):
        workspace.reproduce("table2", "x")
    with pytest.raises(UsageError, match=r"none of .* has such an option"):
        workspace.reproduce("table1", dataset="toy", train={"widht": 8})


def test_a_report_is_written(workspace, tmp_path):
    preprocess(workspace, rows()).train("poprec").evaluate(topk=[5])
    workspace.report(output=tmp_path / "page.html", users=2)
    assert "PopRec" in (tmp_path / "page.html").read_text()
