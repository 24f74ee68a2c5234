"""What people hand to the Python interface: odd frames, numbers of NumPy, paths, names, threads."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest
import torch

import tssr
from tssr.core.errors import ArtifactError, DataError, TssrError, UsageError
from tssr.features.store import list_stores
from tssr.pipeline.preprocess.stage import preprocess as stage_preprocess

SMALL = {"width": 8, "heads": 2, "feedforward_width": 8, "max_epochs": 2, "batch_size": 8, "device": "cpu"}
ROWS = pl.DataFrame(
    [
        {"customer": f"c{user}", "sku": f"s{(user * 5 + step * 3) % 12}", "when": step}
        for user in range(12)
        for step in range(7)
    ]
)
COLUMNS = {"user": "customer", "item": "sku", "time": "when", "min_actions": 0}


@pytest.fixture
def workspace(tmp_path):
    return tssr.Workspace(tmp_path / "workspace")


@pytest.fixture
def shop(workspace):
    return workspace.preprocess(interactions=ROWS, **COLUMNS)


def plain():
    return pd.DataFrame(ROWS.to_dict(as_series=False))


def as_arrow(kind):
    table = ROWS.to_arrow()
    return table.set_column(1, "sku", table["sku"].cast(pa.string()).cast(kind))


@pytest.mark.parametrize(
    ("frame", "columns"),
    [
        (plain().set_index("customer"), {}),
        (plain().set_index(["customer", "when"]), {}),
        (plain().sample(frac=1, random_state=0), {}),
        (plain().convert_dtypes(), {}),
        (plain().convert_dtypes(dtype_backend="pyarrow"), {}),
        (plain().astype(object), {}),
        (plain().rename(columns={"customer": 0, "sku": 1}), {"user": 0, "item": 1}),
        (plain().assign(noise=[{"deep": [1]}] * len(ROWS)), {}),  # of no use, so of no harm
        (as_arrow(pa.large_string()), {}),
        (as_arrow(pa.string_view()), {}),
        (as_arrow(pa.dictionary(pa.int8(), pa.string())), {}),
    ],
    ids=lambda value: "",
)
def test_a_frame_of_odd_types_gives_the_same_tables(workspace, shop, frame, columns):
    other = workspace.preprocess(interactions=frame, **COLUMNS | columns, dataset="other")
    assert other.interactions.equals(shop.interactions)
    assert other.items["item_id"].equals(shop.items["item_id"])


@pytest.mark.parametrize(
    "kind", ["int8", "uint8", "Int8", "uint64", "float16", "float32", "Float64", "category"]
)
def test_ids_of_any_kind_of_number_are_their_integers(workspace, kind):
    frame = plain()
    frame["sku"] = frame["sku"].str[1:].astype(int).astype(kind)
    shop = workspace.preprocess(interactions=frame, **COLUMNS)
    assert set(shop.items["item_id"]) == {str(n) for n in range(12)}
    run = shop.train("poprec")
    for history in ([3], [3.0], [np.int8(3)], np.array([3.0], np.float32), pd.Series([3.0])):
        assert run.recommend(histories=[history], topk=1)["rank"].to_list() == [1]


TWINS = pd.concat([plain(), plain()[["sku"]]], axis=1)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (TWINS, "interactions has two columns 'sku'; rename or drop one"),
        (pa.table([[1], [2]], names=["sku", "sku"]), "interactions has two columns 'sku'"),
        (plain()["sku"], "interactions is a Series, which is one column; give a table"),
        (ROWS["sku"], "interactions is a Series, which is one column; give a table"),
        (pa.chunked_array([[1]]), "interactions is a ChunkedArray, which is one column"),
        (pyarrow.dataset.dataset(ROWS.to_arrow()), r"has no rows yet; give its .to_table\(\)"),
        (pd.DataFrame(), "interactions has no column 'customer'; it has no columns at all"),
        (ROWS.with_columns(pl.lit(b"x").alias("sku")), "column 'sku' is of type Binary"),
        (ROWS.with_columns(pl.duration(days=1).alias("when")), "column 'when' is of type Duration"),
    ],
)
def test_frames_that_cannot_be_read_are_one_sentence(workspace, frame, says):
    with pytest.raises(TssrError, match=says) as caught:
        workspace.preprocess(interactions=frame, **COLUMNS)
    assert "\n" not in str(caught.value)


def test_a_map_of_columns_is_refused_beside_their_names(workspace):
    with pytest.raises(UsageError, match="map=: name the columns by user=, item=, time=, text= and image="):
        workspace.preprocess(interactions=ROWS, map="user=customer", **COLUMNS)


def test_values_of_numpy_and_pandas_are_settings(shop):
    run = shop.train("sasrec-id", **SMALL | {"width": np.int64(8), "max_epochs": np.int32(2)})
    assert shop.train("sasrec-id", **SMALL, learning_rate=np.float64(1e-4)).name == run.name
    wanted = run.evaluate(topk=[5])
    for topk in (
        5,
        np.int64(5),
        np.array([5]),
        range(5, 6),
        pd.Series([5]),
        pl.Series([5]),
        (k for k in [5]),
    ):
        assert run.evaluate(topk=topk).equals(wanted)
    assert len(run.evaluate(topk=5, mask="none")) == 1


def test_one_model_or_one_value_to_try_is_a_list_of_one(shop, commands):
    compared = shop.compare("itemknn", seeds=1, topk=5, tried={"neighbours": 2})
    assert list(compared.data["contenders"]) == ["itemknn"]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"histories": 5}, r"histories= 5 is one int; give a list, as in \[5\]"),
        ({"histories": [1, 2]}, r"histories= 1 is one int; give a list, as in \[1\]"),
        ({"histories": {"ann": ["s1"]}}, "histories= is a dict; give a list"),
        ({"histories": ROWS}, "histories= has no column 'user_id'; it has customer, sku, when"),
        ({"histories": plain()}, "histories= has no column 'user_id'; it has customer, sku, when"),
        ({"users": 7}, r"users= 7 is one int; give a list, as in \[7\]"),
        ({"users": "c1"}, r"users= 'c1' is one text; give a list, as in \['c1'\]"),
        ({"users": plain()[["customer"]]}, "users= is a DataFrame; give a list"),
    ],
)
def test_what_is_no_list_of_histories_or_users_is_one_sentence(shop, asked, says):
    with pytest.raises(UsageError, match=says):
        shop.train("poprec").recommend(**asked)


def test_histories_may_be_a_column_of_lists(shop):
    run = shop.train("poprec")
    taken = ROWS.group_by("customer", maintain_order=True).agg("sku")["sku"]
    assert len(run.recommend(histories=taken, topk=2)) == 24
    assert len(run.recommend(histories=taken.to_pandas(), topk=2)) == 24
    assert len(run.recommend(users=pd.Series(["c1", "c2"]), topk=2)) == 4


def test_what_is_kept_replaces_no_file_of_a_person(workspace):
    own = workspace.folder / "raw" / "custom" / "interactions.parquet"
    own.parent.mkdir(parents=True)
    ROWS.write_parquet(own)
    written = own.read_bytes()
    shop = workspace.preprocess(interactions=ROWS.head(70), items=ROWS.select("sku").unique(), **COLUMNS)
    items = own.parent / "frames" / "items.parquet"
    as_given = items.read_bytes()
    shop.import_features("image", np.eye(12, dtype=np.float32)[: len(shop.items)], name="items")
    shop.evaluate_lists(pl.DataFrame({"user": ["c1"], "item": ["s1"], "rank": [1]}), name="items", topk=[5])
    assert own.read_bytes() == written
    assert items.read_bytes() == as_given


def test_a_name_leads_to_no_other_folder(shop, tmp_path):
    lists = pl.DataFrame({"user": ["c1"], "item": ["s1"], "rank": [1]})
    before = sorted(tmp_path.rglob("*"))
    for name in ("../../../out", "a/b", ""):
        with pytest.raises(UsageError, match=rf"name= '{name}': use letters, digits"):
            shop.evaluate_lists(lists, name=name)
        with pytest.raises(UsageError, match=rf"name= '{name}': use letters, digits"):
            shop.import_features("image", np.eye(12, dtype=np.float32), name=name)
    with pytest.raises(UsageError, match=r"--dataset '\.\./x': use letters"):
        tssr.Workspace(shop.folder.parent.parent).preprocess(interactions=ROWS, **COLUMNS, dataset="../x")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_home_folder_may_be_written_as_in_a_shell(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    ROWS.write_csv(tmp_path / "log.csv")
    shop = tssr.Workspace("~/shop").preprocess(interactions="~/log.csv", **COLUMNS)
    shop.train("poprec").export("~/served")
    assert shop.folder == tmp_path / "shop" / "datasets" / "custom"
    assert (tmp_path / "served" / "README.md").exists()


@pytest.mark.parametrize(
    ("vectors", "error", "says"),
    [
        (np.array([[1, "a"]] * 12, object), DataError, "vectors cannot be read as an array of numbers"),
        (
            torch.zeros(12, 3, dtype=torch.bfloat16),
            DataError,
            r"as with .detach\(\).cpu\(\).float\(\).numpy\(\)",
        ),
        (torch.zeros(12, 3, requires_grad=True), DataError, r"as with .detach\(\)"),
        (ROWS.lazy(), UsageError, r"vectors is a LazyFrame, which has no rows yet; give its .collect\(\)"),
        (ROWS["when"], UsageError, "vectors is a Series, which is one column; give a table"),
    ],
)
def test_vectors_that_are_no_numbers_are_one_sentence(shop, vectors, error, says):
    with pytest.raises(error, match=says):
        shop.import_features("image", vectors)


def test_ids_of_vectors_may_be_whole_floats(workspace):
    frame = plain()
    frame["sku"] = frame["sku"].str[1:].astype(float)
    shop = workspace.preprocess(interactions=frame, **COLUMNS)
    made = shop.import_features("image", np.eye(12, dtype=np.float32), ids=np.arange(12, dtype=np.float32))
    assert "12 of 12" in repr(made)


def test_tables_that_are_gone_are_one_sentence(shop):
    for path in shop.folder.iterdir():
        path.unlink()
    for name in ("interactions", "items", "users"):
        with pytest.raises(
            ArtifactError, match=rf"{name}.parquet cannot be read .*; make data set custom again"
        ):
            getattr(shop, name)


def test_trainings_in_threads_come_out_as_alone_and_leave_random_numbers_alone(shop):
    torch.manual_seed(7)
    wanted = torch.rand(1)
    torch.manual_seed(7)
    weights = {True: {}, False: {}}

    def train(seed, alone):
        run = shop.train("sasrec-id", **SMALL | {"max_epochs": 10}, dropout=0.5, seed=seed, force=True)
        weights[alone][seed] = run.record["result"]["weights_sha256"]

    for seed in (1, 2):
        train(seed, True)
    threads = [threading.Thread(target=train, args=(seed, False)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert weights[False] == weights[True]
    assert torch.rand(1) == wanted


def test_a_run_that_is_asked_while_another_trains_changes_no_number_of_it(shop):
    """Weights of the answering run are drawn before its own are loaded, but not from the other's stream."""
    answering = shop.train("sasrec-id", **SMALL, seed=3)
    torch.manual_seed(7)
    wanted = torch.rand(1)

    def train():
        run = shop.train("sasrec-id", **SMALL | {"max_epochs": 30}, dropout=0.5, force=True)
        weights.append(run.record["result"]["weights_sha256"])

    weights = []
    train()
    torch.manual_seed(7)
    answering.recommend(histories=[["s1"]], topk=1)  # what only the first answer imports takes longest
    thread = threading.Thread(target=train)
    thread.start()
    asked = 0
    while thread.is_alive():
        answering.recommend(histories=[["s1"]], topk=1)
        asked += 1
    assert asked > 1
    assert weights[0] == weights[1]
    assert torch.rand(1) == wanted


def test_a_setting_is_never_without_effect(workspace, shop):
    preprocess = {"interactions": ROWS, **COLUMNS, "dataset": "other"}
    workspace.preprocess(**preprocess)
    for stage in (shop.train, shop.compare, shop.tune, shop.extract_features):
        with pytest.raises(UsageError, match=r"dataset='other': this is 'custom'; Workspace\.dataset"):
            stage(dataset="other")
    with pytest.raises(UsageError, match=r"model='poprec': compare takes several, models=\[…\]"):
        shop.compare(model="poprec")
    assert shop.train("poprec", dataset="custom").record["dataset"] == "custom"


def test_modalities_may_be_given_by_the_name_of_the_option(shop):
    for asked in ({"modality": "audio"}, {"modality": ["audio"]}):
        with pytest.raises(UsageError, match="--modality: unknown modality 'audio'"):
            shop.extract_features(**asked)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"variants": ["deep"]}, "variants is a list; give a dict"),
        ({"variants": {"deep": "tssr"}}, r"variants\['deep'\] is a str; give a dict"),
        ({"tried": ["learning_rate"]}, "tried is a list; give a dict"),
    ],
)
def test_tables_that_are_none_are_one_sentence(shop, asked, says):
    with pytest.raises(UsageError, match=says):
        shop.compare(["poprec", "deep"], **asked)


def test_a_report_takes_runs_as_objects_too(workspace, shop, tmp_path):
    run = shop.train("poprec")
    run.evaluate(topk=[5])
    for place, runs in enumerate((run, [run], run.name, [run.name])):
        made = workspace.report(run=runs, output=tmp_path / f"{place}.html", users=1)
        assert "PopRec" in repr(made)


def test_a_model_registered_without_a_name_is_one_sentence():
    class Mine:
        """A class, which the decorator without brackets is handed in place of a name."""

    with pytest.raises(
        UsageError, match=r"needs a name: write @tssr.register_model\('my-model'\) above Mine"
    ):
        tssr.register_model(Mine)


def test_each_of_two_notebooks_reads_its_own_frame(workspace, monkeypatch):
    """The second frame comes between the moment the first is written and the moment it is read."""
    made, begun = {}, []

    def make(users):
        frame = ROWS.head(7 * users)
        made[users] = len(workspace.preprocess(interactions=frame, **COLUMNS).users)

    second = threading.Thread(target=make, args=(9,))

    def late(*args, **more):
        if not begun:
            begun.append(second.start())
            second.join(0.5)
        return stage_preprocess(*args, **more)

    monkeypatch.setattr("tssr.pipeline.preprocess.stage.preprocess", late)
    summary = workspace.preprocess(interactions=ROWS.head(7 * 5), **COLUMNS).summary
    second.join()
    assert summary.data["counts"]["users"] == 5
    assert made == {9: 9}


def test_an_encoder_may_be_a_path_and_in_the_home_folder(workspace, bert, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "encoder").symlink_to(bert)
    items = pl.DataFrame({"sku": [f"s{n}" for n in range(12)], "name": [f"red shirt {n}" for n in range(12)]})
    shop = workspace.preprocess(interactions=ROWS, items=items, text="name", **COLUMNS)
    shop.extract_features("text", encoder=str(bert))
    for encoder in (Path(bert), [Path(bert)], "~/encoder", Path("~/encoder")):
        shop.extract_features("text", encoder=encoder)
    assert len(list_stores(workspace.folder / "features" / shop.name)) == 1
