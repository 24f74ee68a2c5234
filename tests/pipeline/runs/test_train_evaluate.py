from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tssr.cli import main
from tssr.core.dataset import load_dataset
from tssr.core.lock import exclusive
from tssr.core.settings import resolve
from tssr.core.workspace import WorkspaceFolders
from tssr.pipeline.runs import plan as plan_module
from tssr.pipeline.runs import train as train_module
from tssr.pipeline.runs.build import build_model
from tssr.pipeline.runs.readings import READINGS_FILE
from tssr.pipeline.runs.settings import RunSettings

ENCODER = ("--modality", "image", "--encoder", "squeezenet1_1", "--weights", "random", "--workers", "0")
TRAIN = ("train", "--width", "16", "--heads", "2", "--max-epochs", "2", "--batch-size", "16")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, shop):
    """The shop preprocessed and its pictures encoded by a small random network, made once."""
    folder = tmp_path_factory.mktemp("prepared")
    main(["preprocess", "hm", "--raw", str(shop), "--workspace", str(folder)])
    main(["extract-features", *ENCODER, "--workspace", str(folder)])
    return folder


@pytest.fixture
def prepared(tssr, workspace, tmp_path):
    """`tssr` in a folder whose workspace is a copy of the prepared one."""
    shutil.copytree(workspace, tmp_path / "workspace")
    return tssr


def test_the_four_commands_of_the_card(tssr, shop, tmp_path):
    assert tssr("preprocess", "hm", "--raw", shop).code == 0
    assert tssr("extract-features", *ENCODER).code == 0
    trained = tssr(*TRAIN)
    assert trained.code == 0, trained.err
    assert "TSSR" in trained.out
    scored = tssr("evaluate", "--topk", "10", "20")
    assert scored.code == 0, scored.err
    (run,) = (tmp_path / "workspace" / "runs").iterdir()
    metrics = json.loads((run / "metrics.json").read_text())
    assert [m["protocol"]["mask"] for m in metrics["measurements"]] == ["none", "exempt", "hard"]
    assert all(m["protocol"]["split"] == "test" for m in metrics["measurements"])
    names = ["recall", "ndcg", "mrr", "coverage", "gini", "popularity", "novelty", "diversity[image]"]
    names += ["serendipity", *(f"share[{label}]" for label in ("0", "1-4", "5-19", "20+"))]
    assert set(metrics["measurements"][0]["metrics"]) == {f"{name}@{k}" for name in names for k in (10, 20)}
    assert set(metrics["slices"]) == {"popularity", "history", "repeat", "tied"}
    ranks = pq.read_table(run / "ranks-test.parquet")
    assert ranks.num_rows == 60
    recall = np.mean(ranks["rank_none"].fill_null(np.inf).to_numpy() <= 10)
    assert recall == pytest.approx(metrics["measurements"][0]["metrics"]["recall@10"])
    assert not list(run.glob("*checkpoint*"))


@pytest.mark.parametrize(
    "spelling", [("--topk", "2", "5"), ("--topk", "2,5"), ("--topk", "2", "--topk", "5"), ("--topk=2,5",)]
)
def test_every_spelling_of_topk_means_the_same(prepared, spelling):
    prepared("train", "--model", "poprec")
    names = set(prepared("evaluate", *spelling, "--json").json["measurements"][0]["metrics"])
    for name in ("recall", "ndcg", "mrr", "coverage"):
        assert {each for each in names if each.startswith(name)} == {f"{name}@2", f"{name}@5"}


def test_users_apart_by_the_property_asked_for(prepared):
    prepared("train", "--model", "poprec")
    measured = prepared("evaluate", "--topk", "5", "--json").json
    for by, slices in measured["slices"].items():
        hard = [entry for entry in slices if entry["mask"] == "hard"]
        assert sum(entry["queries"] for entry in hard) == 60, by
        mean = sum(entry["queries"] * entry["metrics"]["mrr@5"] for entry in hard) / 60
        assert mean == pytest.approx(measured["measurements"][2]["metrics"]["mrr@5"]), by
    assert {entry["slice"] for entry in measured["slices"]["tied"]} == {"not tied"}, "each day has one action"
    shown = prepared("evaluate", "--topk", "5", "--by", "history").out
    assert "Nothing changed" in shown, "what is shown is no other measurement"
    assert "By the number of actions before the target:" in shown
    assert "5-9" in shown
    lists = shown.split("What is in the lists:\n")[1].split("\n\n")[0].splitlines()
    assert lists[0].split() == ["mask", "none", "exempt", "hard"]
    assert max(map(len, lists[:10])) <= 80
    assert prepared("evaluate", "--by", "weather").code == 2


def test_a_second_time_does_nothing_and_force_does_it_again(prepared):
    first = prepared(*TRAIN, "--json").json
    again = prepared(*TRAIN, "--json").json
    assert (first["cached"], again["cached"]) == (False, True)
    assert again["result"] == first["result"]
    forced = prepared(*TRAIN, "--json", "--force").json
    assert not forced["cached"]
    assert forced["result"]["validation_ndcg@10"] == first["result"]["validation_ndcg@10"]
    assert [prepared("evaluate", "--json").json["cached"] for _ in range(2)] == [False, True]
    assert not prepared("evaluate", "--json", "--topk", "3").json["cached"]
    assert not prepared("evaluate", "--json", "--topk", "3", "--force").json["cached"]


def disk_full(*_arguments, **_options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_when_the_run_ends_costs_no_step(prepared, tmp_path, monkeypatch):
    """The checkpoint goes only when the record that says "finished" is on the disk."""
    written = train_module.write_run
    monkeypatch.setattr(
        train_module,
        "write_run",
        lambda folder, plan, result: (result and disk_full()) or written(folder, plan, result),
    )
    assert prepared(*TRAIN, "--run", "r").code == 1
    run = tmp_path / "workspace" / "runs" / "r"
    log = (run / "log.jsonl").read_text()
    monkeypatch.setattr(train_module, "write_run", written)
    monkeypatch.setattr(
        "tssr.model.training_steps.TrainingSteps.take", lambda *_: 1 / 0
    )  # there is no step to take
    resumed = prepared(*TRAIN, "--run", "r", "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.json["result"]["steps"] > 0
    assert (run / "log.jsonl").read_text() == log
    assert not list(run.glob("*checkpoint*"))


def test_a_kill_while_force_clears_leaves_no_run_that_looks_finished(prepared, tmp_path, monkeypatch):
    prepared("train", "--model", "poprec", "--run", "r")
    monkeypatch.setattr("pathlib.Path.iterdir", lambda _: 1 / 0)
    assert prepared("train", "--model", "poprec", "--run", "r", "--force").code == 1
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    said = prepared("evaluate", "--run", "r").err
    assert "holds no finished run" in said


@pytest.mark.parametrize("broken", ["write_json", "write_ranks"])
def test_old_metrics_stay_until_the_new_ones_are_written(prepared, tmp_path, monkeypatch, broken):
    prepared("train", "--model", "poprec", "--run", "r")
    prepared("evaluate", "--topk", "5")
    run = tmp_path / "workspace" / "runs" / "r"
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.name != READINGS_FILE}
    monkeypatch.setattr(f"tssr.pipeline.runs.evaluate.{broken}", disk_full)
    failed = prepared("evaluate", "--topk", "3", "--mask", "none")
    assert (failed.code, failed.err.count("\n")) == (1, 1)
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.name != READINGS_FILE} == before


@pytest.mark.parametrize(
    ("model", "length", "gib"),
    [
        ("gru4rec", 1_000_000, 1.9),
        ("sasrec-id", 10_000, 1.5),
    ],  # vectors of 16 windows; masks, 16 x 10^8 bytes
)
def test_a_length_beyond_the_memory_is_refused_before_it_is_taken(prepared, monkeypatch, model, length, gib):
    monkeypatch.setattr("tssr.pipeline.runs.build.free_memory", lambda: 1 << 30)
    monkeypatch.setattr("tssr.model.registry.ModelSpec.build", lambda *_: 1 / 0)
    small = ("--width", "16", "--batch-size", "16")
    refused = prepared("train", "--model", model, *small, "--length", str(length))
    assert refused.code == 1
    assert (
        f"--length {length}: a step of 16 windows takes at least {gib} GiB of memory, and 1.0 are free"
        in refused.err
    )
    assert "(the longest history has 8 actions), --batch-size or --width" in refused.err


def test_what_the_computer_has_left_is_known():
    from tssr.core.memory import free_memory

    free = free_memory()
    assert free is None or 1 << 20 < free < 1 << 50


def test_a_temperature_without_its_contrast_is_told(prepared):
    idle = prepared(*TRAIN, "--tau-user", "0.5", "--lambda-user", "0", "--mask-duplicates")
    assert idle.code == 0
    assert "--tau-user has no effect: --lambda-user 0 leaves its term of the loss out" in idle.err
    assert "--mask-duplicates" not in idle.err


def test_curves_may_be_asked_for_when_the_run_is_finished(prepared, tmp_path):
    prepared(*TRAIN, "--run", "r")
    run = tmp_path / "workspace" / "runs" / "r"
    log = (run / "log.jsonl").read_text()
    drawn = prepared(*TRAIN, "--run", "r", "--tensorboard")
    assert drawn.code == 0
    assert "the run is finished; its log is drawn for TensorBoard in " in drawn.err
    assert list((run / "tensorboard").iterdir())
    assert (run / "log.jsonl").read_text() == log
    assert "TensorBoard" not in prepared(*TRAIN, "--run", "r", "--tensorboard").err


@pytest.mark.slow
def test_no_file_of_no_bytes_ends_in_something_unexpected(prepared, tmp_path):
    """Every file of a workspace, emptied one at a time, before every command that may read it."""
    train = (*TRAIN, "--model", "sasrec-content", "--run", "r")
    commands = [
        train,
        ("evaluate", "--run", "r"),
        ("evaluate", "--run", "r", "--force"),
        ("recommend", "--run", "r", "--user", "0" * 64),
        ("compare", "--models", "poprec", "--seeds", "1"),
        ("features", "list"),
        ("features", "verify"),
        ("extract-features", *ENCODER),
    ]
    prepared(*train)
    prepared("evaluate", "--run", "r")
    root = tmp_path / "workspace"
    unexpected = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")):
        whole = path.read_bytes()
        for command in commands:
            path.write_bytes(b"")
            ended = prepared(*command)
            if "unexpected" in ended.err or ended.code not in (0, 1, 2) or ended.err.count("Traceback"):
                unexpected[f"{path.relative_to(root)} {command[0]}"] = ended.err
            path.write_bytes(whole)
    assert unexpected == {}


def test_where_and_how_it_is_computed_makes_no_other_run(prepared):
    assert not prepared(*TRAIN, "--json").json["cached"]
    assert prepared(*TRAIN, "--json", "--device", "cpu", "--compile", "--tensorboard").json["cached"]
    assert not prepared(*TRAIN, "--json", "--precision", "bfloat16").json["cached"]


def test_evaluate_takes_the_newest_run_unless_told_otherwise(prepared):
    prepared("train", "--model", "poprec", "--run", "first")
    prepared(*TRAIN, "--model", "sasrec-id", "--run", "second")
    assert prepared("evaluate", "--json").json["run"] == "second"
    assert prepared("evaluate", "--json", "--run", "first").json["run"] == "first"
    missing = prepared("evaluate", "--run", "third")
    assert missing.code == 2
    assert "--run third: no such run" in missing.err
    assert "second, first" in missing.err


def test_validation_split_goes_to_its_own_files(prepared, tmp_path):
    prepared("train", "--model", "poprec", "--run", "pop")
    measured = prepared("evaluate", "--split", "validation", "--json").json
    assert measured["measurements"][0]["protocol"]["split"] == "validation"
    run = tmp_path / "workspace" / "runs" / "pop"
    assert (run / "metrics-validation.json").exists()
    assert not (run / "metrics.json").exists()


def test_config_file_is_read_and_options_override_it(prepared, tmp_path):
    config = tmp_path / "tssr.toml"
    config.write_text('[train]\nmodel = "sasrec-id"\nwidth = 8\nheads = 2\nmax-epochs = 1\nbatch_size = 16\n')
    settings = prepared("train", "--config", config, "--width", "4", "--json").json["settings"]
    assert settings["model"]["width"] == 4
    assert settings["model"]["heads"] == 2
    assert settings["train"]["max_epochs"] == 1


def test_preset_official_sets_the_released_numbers(prepared):
    small = ("--width", "16", "--heads", "2", "--max-epochs", "1", "--batch-size", "16")
    settings = prepared("train", "--preset", "official", *small, "--json").json["settings"]
    assert (settings["model"]["blocks"], settings["model"]["cross_blocks"]) == (1, 4)
    assert settings["model"]["user_mean"] == "all"
    assert settings["train"]["max_epochs"] == 1
    assert settings["train"]["patience"] == 20  # of at most 20 epochs, so that no run stops early
    assert settings["train"]["precision"] == "float32"


@pytest.mark.parametrize(
    ("preset", "rate", "weights"), [("dense", 3e-4, [0.03, 0.03, 2]), ("tuned", 1e-3, [1, 1, 0])]
)
def test_a_preset_sets_of_a_model_what_it_has(prepared, preset, rate, weights):
    small = ("--width", "16", "--heads", "2", "--max-epochs", "1", "--batch-size", "16", "--preset", preset)
    tssr, ids = (
        prepared("train", "--model", name, *small, "--json").json["settings"]
        for name in ("tssr", "sasrec-id")
    )
    assert [tssr["model"][f"lambda_{term}"] for term in ("user", "item", "stream")] == weights
    assert tssr["train"]["learning_rate"] == ids["train"]["learning_rate"] == rate
    assert tssr["model"]["input_dropout"] == ids["model"]["input_dropout"] == 0.3


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        (
            "[train]\nlerning_rate = 1\n",
            "unknown setting 'lerning_rate'; did you mean learning_rate? Known here: adapter",
        ),
        ("[train]\nmodel = ['tssr']\n", "model: should be one of poprec"),
        ("[trian]\nseed = 1\n", "unknown key 'trian'"),
        ("[train\n", "not a TOML file"),
        ("[train]\nseed = -1\n", "seed: should be greater than or equal to 0"),
        ('[train]\nwidth = "wide"\n', "width: should be a valid integer"),
    ],
)
def test_what_a_config_file_gets_wrong(prepared, tmp_path, toml, words):
    config = tmp_path / "bad.toml"
    config.write_text(toml)
    failed = prepared("train", "--config", config)
    assert failed.code == 2
    assert words in failed.err
    assert str(config) in failed.err
    assert failed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "nosuch"), "--model: unknown model 'nosuch'; there are poprec"),
        (("--model", "poprec", "--learning-rate", "1"), "--learning-rate: poprec has no such option; it has"),
        (("--model", "bpr-mf", "--train-windows", "all"), "--train-windows: bpr-mf has no such option"),
        (("--model", "sasrec-id", "--lambda-user", "0"), "--lambda-user: sasrec-id has no such option"),
        (("--model", "sasrec-id", "--features", "image"), "--features: sasrec-id reads no content"),
        (("--features", "text"), "make it with: tssr extract-features --dataset hm --modality text"),
        (("--lambda-item", "-1"), "--lambda-item: should be greater than or equal to 0"),
        (("--tau-user", "0"), "--tau-user: should be greater than 0"),
        (("--learning-rate", "inf"), "--learning-rate: should be a finite number"),
        (("--width", "10", "--heads", "4"), "--width 10 is not a multiple of --heads 4"),
        (("--preset", "nosuch"), "--preset: unknown preset 'nosuch'; there are paper, official, tuned"),
        (("--model", "sasrec"), "unknown model 'sasrec'; did you mean sasrec-id? There are poprec"),
        (("--preset", "tunde"), "unknown preset 'tunde'; did you mean tuned?"),
        (("--precision", "float23"), "'float32', 'bfloat16'; did you mean float32?"),
        (("--features", "imgae"), "; did you mean image?"),
        (("--dataset", "toy"), "--dataset toy: workspace has hm"),
        (("--dataset", "hm2"), "--dataset hm2: workspace has hm; did you mean hm?"),
        (("--run", "../out"), "--run '../out': use letters"),
        (("--device", "cuda:9"), "--device cuda:9: torch sees"),
        (("--device", "abacus"), "--device abacus: use auto"),
        (("--no-such",), "No such option"),
        (("--seed", "x"), "'x' is not a valid integer"),
    ],
)
def test_what_an_option_gets_wrong(prepared, arguments, words):
    failed = prepared("train", *arguments)
    assert failed.code == 2
    assert words in failed.err
    assert failed.err.count("\n") == 1


def test_without_data_without_features_and_without_runs(tssr, shop):
    nothing = tssr("train")
    assert nothing.code == 2
    assert "make one first, for example: tssr preprocess hm" in nothing.err
    tssr("preprocess", "hm", "--raw", shop)
    assert "tssr extract-features --dataset hm --modality image" in tssr("train").err
    assert "make one with: tssr train" in tssr("evaluate").err


def test_several_data_sets_must_be_chosen_from(tssr, shop):
    tssr("preprocess", "hm", "--raw", shop)
    tssr("preprocess", "hm", "--raw", shop, "--dataset", "other")
    failed = tssr("train", "--model", "poprec")
    assert failed.code == 2
    assert "choose one with --dataset: hm, other" in failed.err


def test_a_run_of_another_version_of_the_data_is_refused(prepared, shop):
    prepared("train", "--model", "poprec")
    prepared("evaluate")  # an answer from before is refused as well
    prepared("preprocess", "hm", "--raw", shop, "--repeats", "drop")
    failed = prepared("evaluate")
    assert failed.code == 1
    assert "was trained on another version of data set hm" in failed.err


def test_a_checkpoint_of_another_model_is_refused(prepared, tmp_path):
    prepared(*TRAIN, "--model", "sasrec-id", "--run", "narrow")
    prepared(*TRAIN, "--model", "sasrec-id", "--width", "32", "--run", "wide")
    runs = tmp_path / "workspace" / "runs"
    (runs / "wide" / "model.safetensors").replace(runs / "narrow" / "model.safetensors")
    failed = prepared("evaluate", "--run", "narrow")
    assert failed.code == 1
    assert "is not what training wrote" in failed.err


def test_damaged_files_of_a_run(prepared, tmp_path):
    prepared("train", "--model", "poprec", "--run", "pop")
    run = tmp_path / "workspace" / "runs" / "pop"
    whole = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").write_bytes(whole[:-3])
    failed = prepared("evaluate")
    assert (failed.code, "is damaged" in failed.err) == (1, True)
    (run / "model.safetensors").write_bytes(whole)
    (run / "run.json").write_text('{"finished_at": "now"')
    failed = prepared("evaluate")
    assert (failed.code, "run.json is damaged" in failed.err) == (1, True)


def test_a_run_name_that_is_taken(prepared):
    prepared("train", "--model", "poprec", "--run", "mine")
    failed = prepared(*TRAIN, "--model", "sasrec-id", "--run", "mine")
    assert failed.code == 1
    assert "holds a run with other settings" in failed.err
    assert prepared(*TRAIN, "--model", "sasrec-id", "--run", "mine", "--force").code == 0


def test_topk_beyond_the_catalogue(prepared):
    prepared("train", "--model", "poprec")
    failed = prepared("evaluate", "--topk", "21")
    assert failed.code == 2
    assert "--topk 21: hm has only 20 items" in failed.err


def test_a_forced_run_that_is_refused_keeps_the_old_one(prepared):
    done = (*TRAIN, "--model", "sasrec-id", "--run", "mine")
    assert prepared(*done).code == 0
    assert prepared(*done, "--force", "--device", "cuda:9").code == 2
    assert prepared("evaluate", "--run", "mine").code == 0


def test_a_run_that_another_process_finished_meanwhile_is_not_trained_again(prepared, monkeypatch):
    arguments = (*TRAIN, "--model", "sasrec-id", "--json")
    others = []

    @contextmanager
    def after_another(folder):
        if not others:
            others.append(None)
            others[0] = prepared(*arguments).json
        with exclusive(folder):
            yield

    monkeypatch.setattr("tssr.pipeline.runs.train.exclusive", after_another)
    mine = prepared(*arguments).json
    assert (others[0]["cached"], mine["cached"]) == (False, True)
    assert mine["result"] == others[0]["result"]


@pytest.mark.parametrize("model", ["poprec", "sasrec-id"])
def test_a_log_that_asks_nobody_is_refused_before_anything_is_trained(tssr, tmp_path, model):
    (tmp_path / "log.csv").write_text("user,item\n" + "".join(f"{u},{i}\n" for u in "abcd" for i in "xy"))
    log = ("--interactions", tmp_path / "log.csv", "--map", "user=user,item=item", "--min-actions", "0")
    assert tssr("preprocess", "custom", *log).code == 0
    outcome = tssr("train", "--model", model)
    assert outcome.code != 0
    assert "no user of custom has the three actions that a split takes" in outcome.err
    assert not list((tmp_path / "workspace" / "runs").glob("*/run.json"))


def test_a_time_split_is_named_beside_its_numbers(tssr, shop):
    split = ("--split", "time", "--validation-from", "2020-01-06", "--test-from", "2020-01-08")
    assert tssr("preprocess", "hm", "--raw", shop, *split).code == 0
    assert tssr("train", "--model", "poprec").code == 0
    measured = tssr("evaluate", "--json").json["measurements"]
    assert {m["protocol"]["split"] for m in measured} == {"time test"}


def test_a_run_of_another_version_is_another_run(prepared, monkeypatch):
    train = ("train", "--model", "poprec", "--json")
    first = prepared(*train).json["folder"]
    monkeypatch.setattr(plan_module, "VERSION", plan_module.VERSION + 1)
    second = prepared(*train).json["folder"]
    assert first != second
    assert prepared(*train).json["folder"] == second


def harmed(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_damaged_features_are_not_trained_on(prepared, tmp_path):
    (part,) = (tmp_path / "workspace/features/hm").glob("*/part-*")
    harmed(part)
    refused = prepared(*TRAIN)
    assert refused.code == 1
    assert (
        f"{part.name} is damaged or missing; run the same tssr extract-features command again" in refused.err
    )
    assert not (tmp_path / "workspace/runs").exists()
    assert prepared("extract-features", *ENCODER).code == 0
    assert prepared(*TRAIN).code == 0


def test_damaged_weights_are_not_measured(prepared, tmp_path):
    prepared(*TRAIN, "--run", "mine")
    harmed(tmp_path / "workspace/runs/mine/model.safetensors")
    refused = prepared("evaluate")
    assert refused.code == 1
    assert (
        "model.safetensors is damaged: it is not what training wrote; delete its folder and train again"
        in refused.err
    )


def test_a_config_for_several_models_serves_one(prepared, tmp_path):
    config = tmp_path / "all.toml"
    config.write_text("[train]\nlambda-user = 0.3\nwidth = 16\nheads = 2\nmax-epochs = 1\n")
    settings = prepared("train", "--model", "sasrec-id", "--config", config, "--json").json["settings"]
    assert settings["model"]["width"] == 16
    assert prepared("train", "--config", config, "--json").json["settings"]["model"]["lambda_user"] == 0.3


@pytest.mark.parametrize("changed", ["t,blue", "u,old"], ids=["another id", "another text"])
def test_features_of_another_version_of_the_items_are_refused(tssr, tmp_path, bert, changed):
    def preprocess(first):
        items = ["item,name", first, *(f"{item},red {item}" for item in "vwxyz")]
        rows = [f"{user},{item}" for user in "abcdef" for item in first[0] + "vwxyz"]
        (tmp_path / "items.csv").write_text("\n".join(items) + "\n")
        (tmp_path / "log.csv").write_text("\n".join(["user,item", *rows]) + "\n")
        files = ("--interactions", tmp_path / "log.csv", "--items", tmp_path / "items.csv")
        assert tssr("preprocess", "custom", *files, "--map", "user=user,item=item,text=name").code == 0

    encode = ("extract-features", "--modality", "text", "--encoder", bert)
    train = (*TRAIN, "--model", "sasrec-content")
    preprocess("u,blue")
    assert tssr(*encode).code == 0
    assert tssr(*train).code == 0
    preprocess(changed)
    refused = tssr(*train)
    assert refused.code == 1
    assert "was made for another version of the items; run the same tssr extract-features" in refused.err
    assert tssr(*encode).code == 0
    assert tssr(*train).code == 0


def test_a_model_beyond_all_memory_says_what_to_lower(prepared):
    failed = prepared("train", "--model", "sasrec-id", "--width", "100000000000", "--heads", "1")
    assert failed.code == 1
    assert failed.err == "error: out of memory building SASRec-ID; lower --width, or choose --device cpu\n"


@pytest.mark.parametrize("model", ["order-knn", "rank-id"])
def test_neighbours_beyond_all_memory_need_fewer_items(prepared, monkeypatch, model):
    def too_many(*_):
        raise MemoryError

    monkeypatch.setattr("tssr.model.ordered_pairs._block", too_many)
    failed = prepared("train", "--model", model)
    assert failed.code == 1
    assert "make a data set of fewer items: tssr preprocess with a larger --min-actions" in failed.err


def test_an_option_takes_back_what_the_config_file_switches_on(prepared, tmp_path):
    (tmp_path / "c.toml").write_text("[train]\ninput-norm = true\n")
    arguments = (*TRAIN, "--model", "sasrec-id", "--config", "c.toml", "--json")
    assert prepared(*arguments).json["settings"]["model"]["input_norm"] is True
    assert prepared(*arguments, "--no-input-norm").json["settings"]["model"]["input_norm"] is False


def test_streams_have_one_order_however_they_are_listed(prepared, bert):
    prepared("extract-features", "--modality", "image", "--encoder", "squeezenet1_1", "--weights", "random")
    prepared("extract-features", "--modality", "text", "--encoder", bert)
    one = prepared(*TRAIN, "--features", "text", "image", "--json").json
    other = prepared(*TRAIN, "--features", "image", "text", "--json").json
    assert (one["run"], one["features"]) == (other["run"], other["features"])
    assert other["cached"]
    assert [name.split("-")[0] for name in one["features"]] == ["image", "text"]


def test_a_model_that_has_counted_test_actions_says_so(prepared):
    assert "PopRec (counts test actions)" in prepared("train", "--model", "poprec", "--count-all").out
    assert "PopRec (counts test actions) on hm" in prepared("evaluate").out
    assert "counts test" not in prepared("train", "--model", "poprec").out


def test_a_loss_that_breaks_before_the_first_checkpoint_promises_none(prepared):
    broken = prepared(*TRAIN, "--model", "sasrec-id", "--learning-rate", "1e30")
    assert "not finite" in broken.err
    assert "checkpoint" not in broken.err


def test_alignment_and_uniformity_by_epoch_and_in_evaluation(prepared, tmp_path):
    assert prepared(*TRAIN, "--run", "two-streams").code == 0
    run = tmp_path / "workspace" / "runs" / "two-streams"
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    names = {name for name in log[0] if name.startswith(("alignment", "uniformity"))}
    assert names == {
        *(f"alignment_{of}_image" for of in ("items", "users")),
        *(f"uniformity_{of}_{stream}" for of in ("items", "users") for stream in ("id", "image")),
    }
    for line in log:
        assert all(0 <= line[name] <= 4 for name in names if name.startswith("alignment"))
        assert all(line[name] <= 0 for name in names if name.startswith("uniformity"))
    measured = prepared("evaluate", "--run", "two-streams", "--topk", "5", "--json").json["representation"]
    best = max(log, key=lambda line: line["validation_ndcg@10"])
    assert measured == pytest.approx({name: best[name] for name in names}, abs=1e-5)
    prepared("train", "--model", "poprec", "--run", "popular")
    assert prepared("evaluate", "--run", "popular", "--topk", "5", "--json").json["representation"] == {}


@pytest.mark.parametrize("model", ["poprec", "itemknn", "sasrec-id"])
def test_a_tenth_of_the_train_users_is_another_run_and_asks_all(prepared, model):
    """6 of 60 users are trained on, and 60 are asked."""
    options = (*TRAIN[1:], "--learning-rate", "0.05") if model == "sasrec-id" else ()
    train = ("train", "--model", model, *options, "--json")
    whole = prepared(*train)
    assert whole.code == 0, whole.err
    assert prepared(*train, "--train-users-share", "1").json["cached"], "all users are the default"
    few = prepared(*train, "--train-users-share", "0.1", "--run", "few")
    assert few.code == 0, few.err
    measured = [
        prepared("evaluate", "--run", run, "--topk", "5", "--json").json for run in (whole.json["run"], "few")
    ]
    assert measured[1]["title"] == f"{measured[0]['title']} (0.1 of train users)"
    assert [each["measurements"][0]["protocol"]["queries"] for each in measured] == [60, 60]
    assert measured[0]["measurements"] != measured[1]["measurements"]


def test_a_key_from_before_there_were_shares_is_still_the_key(prepared, monkeypatch, tmp_path):
    monkeypatch.setattr(plan_module, "fingerprint", json.dumps)
    workspace, chosen = WorkspaceFolders(tmp_path / "workspace"), resolve(RunSettings, {"model": "poprec"})
    assert "share" not in plan_module.plan_run(workspace, chosen, {}, {}).key()
    assert (
        '"train_users_share": 0.5'
        in plan_module.plan_run(workspace, chosen, {}, {"train_users_share": 0.5}).key()
    )


def test_neighbours_and_popularity_see_the_drawn_users_alone(prepared, tmp_path):
    workspace = WorkspaceFolders(tmp_path / "workspace")
    few = plan_module.plan_run(
        workspace, resolve(RunSettings, {"model": "poprec"}), {}, {"train_users_share": 0.1}
    )
    dataset = load_dataset(few.dataset)
    trained = few.split(dataset).train
    assert np.count_nonzero(trained.lengths) == 6
    model = build_model(few, dataset, torch.device("cpu"))
    assert model.items()[1].tolist() == trained.counts()[1:].tolist()


def test_what_does_not_go_with_a_share_is_refused(prepared):
    for share, run in (("0.5", "half"), ("1", "all")):
        prepared("train", "--model", "poprec", "--train-users-share", share, "--run", run)
    refused = prepared("blend", "half", "all")
    assert refused.code != 0
    assert "different --train-users-share; train them with the same one" in refused.err
    refused = prepared("train", "--model", "poprec", "--count-all", "--train-users-share", "0.5")
    assert "--count-all counts the actions of all users; leave one out" in refused.err
    assert "--train-users-share" in prepared("train", "--train-users-share", "0").err


def test_a_model_that_reads_no_content_may_start_from_it(prepared):
    """The run's key knows the start only where it is set, so that older runs keep theirs."""
    options = ("--model", "sasrec-id", "--features", "image", "--item-start", "content", "--json")
    trained = prepared(*TRAIN, *options)
    assert trained.code == 0, trained.err
    assert [name.split("-")[0] for name in trained.json["features"]] == ["image"]
    assert trained.json["settings"]["model"]["item_start"] == "content"
    assert prepared("evaluate", "--run", trained.json["run"]).code == 0
    plan = plan_module.plan_run(
        WorkspaceFolders(Path("workspace")), resolve(RunSettings, {"model": "sasrec-id"}), {}, {}
    )
    older = plan.record()
    del older["settings"]["model"]["item_start"], older["settings"]["train"]["train_users_share"]
    for name in plan.train.WHERE_AND_HOW:
        del older["settings"]["train"][name]
    assert plan.key() == plan_module.fingerprint({"version": plan_module.VERSION, **older})
