from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import sys
import threading
import time
import tomllib
from pathlib import Path

import polars as pl
import pytest

import tssr
from tssr.core import lock
from tssr.core.errors import TssrError, cure_of
from tssr.core.settings import option_name, resolve
from tssr.model.registry import MODELS
from tssr.model.settings import TrainSettings
from tssr.pipeline.compare.training_pool import TrainingPool
from tssr.pipeline.compare.tune_settings import SPACE, space_of

optuna = pytest.importorskip("optuna")
SMALL = ("--width", "8", "--max-epochs", "1", "--batch-size", "16")
TUNE = ("tune", "gru4rec", *SMALL, "--json")


@pytest.fixture
def prepared(tssr, shop):
    tssr("preprocess", "hm", "--raw", shop)
    return tssr


def values_of(report):
    return [(trial["values"], trial["validation_ndcg@10"]) for trial in report["trials"]]


def test_the_best_settings_come_as_a_config_file_that_trains_the_same_run(prepared, commands):
    found = prepared(*TUNE, "--trials", "4")
    assert found.code == 0, found.err
    report = found.json
    assert len(report["trials"]) == 4
    best = max(report["trials"], key=lambda trial: trial["validation_ndcg@10"])
    assert report["best"] == report["trials"][0]["values"] == best["values"]
    assert set(report["best"]) == {"learning_rate", "dropout"}
    for trial in report["trials"]:
        assert all(trial["values"][name] in SPACE[name] for name in trial["values"])
    table = tomllib.loads(Path(report["config"]).read_text())["train"]["gru4rec"]
    # What was searched stands there even where the default won: a preset must not take its place.
    assert set(table) == {"learning-rate", "dropout", "width", "max-epochs", "batch-size"}
    assert (table["learning-rate"], table["dropout"]) == tuple(best["values"].values())
    assert table["width"] == 8
    trained = prepared("train", "--model", "gru4rec", "--config", report["config"], "--json").json
    assert (trained["cached"], trained["run"]) == (True, report["trials"][0]["run"])


def test_a_finished_search_does_nothing_and_more_trials_go_on(prepared, commands):
    first = prepared(*TUNE, "--trials", "2").json
    again = prepared(*TUNE, "--trials", "2").json
    assert (first["cached"], again["cached"]) == (False, True)
    assert values_of(again) == values_of(first)
    before = len(commands)
    more = prepared(*TUNE, "--trials", "3").json
    assert len(more["trials"]) == 3
    assert len(commands) <= before + 1
    assert all(trial in more["trials"] for trial in first["trials"])


def test_a_killed_search_goes_on_to_the_trials_of_an_unbroken_one(prepared, commands, monkeypatch):
    whole = prepared(*TUNE, "--trials", "3", "--seed", "5").json
    kept = TrainingPool.train
    calls = []

    def killed(self, runs):
        calls.append(runs)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return kept(self, runs)

    shutil.copytree("workspace/datasets", "other/datasets")
    monkeypatch.setattr(TrainingPool, "train", killed)
    other = (*TUNE, "--trials", "3", "--workspace", "other", "--seed", "5")
    assert prepared(*other).code == 130
    resumed = prepared(*other)
    assert resumed.code == 0, resumed.err
    assert values_of(resumed.json) == values_of(whole)


def test_a_trial_that_fails_counts_unless_nothing_has_succeeded(prepared, commands, monkeypatch):
    kept, calls = TrainingPool.train, []

    def fails(*which):
        def train(self, runs):
            calls.append(runs)
            if len(calls) in which:
                raise TssrError("the loss is not finite")
            return kept(self, runs)

        monkeypatch.setattr(TrainingPool, "train", train)

    fails(1, 3)
    failed = prepared(*TUNE, "--trials", "3")
    assert (failed.code, "error: the loss is not finite" in failed.err) == (1, True)
    found = prepared(*TUNE, "--trials", "3")
    assert (len(found.json["trials"]), found.json["failed"]) == (2, 1)


def test_a_full_disk_is_no_trial_s_fault(prepared, commands, monkeypatch):
    """The second trial finds no space: it does not count, and the same command trains it."""
    shutil.copytree("workspace", "other")
    whole = values_of(prepared(*TUNE, "--trials", "3", "--workspace", "other").json)
    kept, calls = TrainingPool.train, []

    def train(self, runs):
        calls.append(runs)
        if len(calls) == 2:
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise TssrError(
                f"gru4rec: could not write: {cure_of(full, 'model.safetensors')}; tried: tssr train"
            )
        return kept(self, runs)

    monkeypatch.setattr(TrainingPool, "train", train)
    stopped = prepared(*TUNE, "--trials", "3")
    assert (stopped.code, "the disk holding model.safetensors is full" in stopped.err) == (1, True)
    found = prepared(*TUNE, "--trials", "3")
    assert (values_of(found.json), found.json["failed"]) == (whole, 0)


def test_a_study_that_finds_no_space_tells_the_cure(prepared, commands, monkeypatch):
    from sqlalchemy.exc import OperationalError  # installed with optuna

    def full(**_options):
        raise OperationalError("COMMIT", {}, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setattr(optuna, "create_study", full)
    stopped = prepared(*TUNE, "--trials", "1")
    assert "the disk holding the study workspace/tuning/" in stopped.err
    assert "is full; free space there, and the same command goes on" in stopped.err


def test_where_all_trials_diverge_the_error_says_so(prepared, commands):
    none = prepared(*TUNE, "--try", "learning-rate=1e30,1e31", "--trials", "1")
    assert (none.code, none.err.strip().splitlines()[-1].count("no trial of gru4rec could be trained")) == (
        1,
        1,
    )


def test_each_combination_is_trained_once_and_all_where_the_trials_suffice(prepared, commands):
    grid = (
        "tune",
        "sasrec-id",
        *SMALL,
        "--heads",
        "2",
        "--json",
        "--try",
        "dropout=0,.1,.1",
        "--try",
        "length=2,3",
    )
    some = prepared(*grid, "--trials", "3")
    assert some.code == 0, some.err
    assert len({str(trial["values"]) for trial in some.json["trials"]}) == len(commands) == 3
    whole = prepared(*grid, "--trials", "20").json
    assert sorted((trial["values"]["dropout"], trial["values"]["length"]) for trial in whole["trials"]) == [
        (0.0, 2),
        (0.0, 3),
        (0.1, 2),
        (0.1, 3),
    ]
    assert len(commands) == 4
    assert prepared(*grid, "--trials", "20").json["cached"]


def test_a_second_search_waits_for_the_study_and_takes_no_running_trial(prepared, commands, monkeypatch):
    """The second begins while the first trains, in a thread in place of another process."""
    kept, second, said = TrainingPool.train, [], []
    monkeypatch.setattr(lock, "note", said.append)

    def train(self, runs):
        if not second:
            second.append(threading.Thread(target=again))
            second[0].start()
            deadline = time.monotonic() + 60
            while not said and time.monotonic() < deadline:
                time.sleep(0.01)
        return kept(self, runs)

    found = {}

    def again():
        workspace = tssr.Workspace("workspace")
        found["second"] = workspace.dataset().tune("gru4rec", trials=2, width=8, max_epochs=1, batch_size=16)

    monkeypatch.setattr(TrainingPool, "train", train)
    first = prepared(*TUNE, "--trials", "2")
    second[0].join()
    assert first.code == 0, first.err
    assert "is being written by process" in said[0]
    assert len(commands) == len(first.json["trials"]) == 2
    assert found["second"].data["trials"] == first.json["trials"]
    frame = found["second"].frame
    assert frame.columns == ["learning_rate", "dropout", "validation_ndcg@10", "run"]
    assert frame.dtypes[:3] == [pl.Float64] * 3
    assert frame["run"].to_list() == [trial["run"] for trial in first.json["trials"]]


def test_a_first_trial_that_diverges_counts_and_the_search_goes_on(prepared, commands):
    """With seed 1 the sampler begins with the second value, so that comes to diverge."""
    search = (*TUNE, "--try", "learning-rate=1e-3,1e30")
    found = prepared(*search, "--trials", "3")
    assert found.code == 0, found.err
    first = found.err.index("gru4rec --learning-rate")
    assert "1e+30: diverged: " in found.err[first:]
    assert found.json["failed"] >= 1
    assert found.json["best"] == {"learning_rate": 1e-3}


def test_the_model_after_an_option_of_several_values_is_no_value_of_it(prepared, commands):
    """`--features image tssr` means the store image and the model tssr."""
    said = prepared("tune", "--features", "image", "tssr", "--trials", "1").err
    assert "make them first: tssr extract-features --dataset hm --modality image" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("poprec",), "poprec has nothing to tune; say what with --try OPTION=VALUES"),
        (
            ("gru4rec", "--try", "dropout=0,.1", "--dropout", "0"),
            "--try --dropout: the option is given too",
        ),
        (("gru4rec", "--try", "blocks=1"), "--try --blocks: gru4rec has no such option"),
        (("gru4rec", "--try", "dropout=2"), "--dropout: should be less than 1"),
        (("gru4rec", "--try", "seed=1,2"), "--try --seed: the best of several seeds is chance"),
        (("gru4rec", "--blocks", "2"), "--blocks: none of gru4rec has such an option"),
        (("nosuch",), "'nosuch' is not one of 'poprec'"),
        (("sasrec",), "; did you mean sasrec-id?"),
    ],
)
def test_what_an_option_gets_wrong(prepared, commands, arguments, words):
    failed = prepared("tune", *arguments)
    assert failed.code == 2
    assert words in failed.err
    assert failed.err.count("\n") == 1
    assert commands == []


def test_without_the_extra_the_install_line_is_told(prepared, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    failed = prepared("tune", "gru4rec")
    assert failed.code == 1
    assert "pip install 'tssr[tune]'" in failed.err


@pytest.mark.parametrize("name", [name for name in MODELS if name != "poprec"])
def test_every_model_takes_the_values_that_are_searched(name):
    fields = SPACE.keys() & MODELS[name].settings.model_fields.keys()
    assert fields or MODELS[name].trained or name == "order-knn"  # whose numbers are fixed
    for field in fields:
        for value in SPACE[field]:
            assert getattr(resolve(MODELS[name].settings, {field: value}), field) == value


def test_rates_around_its_own_are_searched_of_a_model_with_a_default_of_its_own():
    assert space_of("tssr")["learning_rate"] == SPACE["learning_rate"]
    assert space_of("tssr-rank")["learning_rate"] == (5e-4, 1e-3, 2e-3, 4e-3)


def test_the_documents_state_the_space():
    stated = (Path(tssr.__file__).parent / "docs" / "comparing.md").read_text()
    rows = [line for line in stated.splitlines() if line.startswith("| `--")]
    assert {name for name in SPACE if any(option_name(name) in row for row in rows)} == set(SPACE)
    for row in rows:
        names, values = (cell.split(";") for cell in row.strip("| ").split(" | "))
        for name, listed in zip(names, values, strict=True):
            for option in name.split(","):
                space = SPACE[option.strip(" `-").replace("-", "_")]
                read = [value.strip() for value in listed.split(",")]
                assert [str(v) if isinstance(space[0], str) else float(v) for v in read] == list(space)


def test_every_option_that_is_searched_belongs_to_a_model():
    known = set(TrainSettings.model_fields).union(*(spec.settings.model_fields for spec in MODELS.values()))
    assert set(SPACE) <= known


def test_a_study_lies_where_its_workspace_is_whatever_its_name(prepared, commands, tmp_path):
    (tmp_path / "workspace").rename(tmp_path / "w%20?x")
    found = prepared(*TUNE, "--workspace", "w%20?x", "--trials", "1")
    assert found.code == 0, found.err
    assert [path.suffix for path in sorted((tmp_path / "w%20?x" / "tuning").glob("hm*"))] == [".db", ".toml"]


def test_a_study_that_is_damaged_is_one_line(prepared, commands, tmp_path):
    prepared(*TUNE, "--trials", "1")
    (study,) = (tmp_path / "workspace" / "tuning").glob("*.db")

    def refused():
        failed = prepared(*TUNE, "--trials", "1")
        assert (failed.code, failed.err.count("\n")) == (1, 1)
        assert f"{study.name} cannot be used" in failed.err

    for value in ("{", "[" * 100_000):
        with contextlib.closing(sqlite3.connect(study)) as database, database:
            database.execute("UPDATE trial_user_attributes SET value_json = ?", [value])
        refused()
    study.write_bytes(b"no database" * 500)
    refused()
    study.unlink()
    assert prepared(*TUNE, "--trials", "1").code == 0
    assert len(commands) == 1, "the trial's run was still there"
