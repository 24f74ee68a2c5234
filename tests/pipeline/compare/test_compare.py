from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace

import pytest

from tssr.cli import main
from tssr.core.errors import TssrError
from tssr.core.settings import resolve
from tssr.core.workspace import WorkspaceFolders
from tssr.pipeline.compare.training_pool import TrainingPool, train_command
from tssr.pipeline.runs.plan import options_of, plan_run
from tssr.pipeline.runs.settings import RunSettings

SMALL = ("--width", "8", "--heads", "2", "--max-epochs", "2", "--batch-size", "16")
COMPARE = ("compare", "--models", "poprec", "sasrec-id", *SMALL, "--topk", "5", "--seeds", "2")
RATES = ("--try", "learning-rate=1e-5,1e-2")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, shop):
    folder = tmp_path_factory.mktemp("prepared")
    main(["preprocess", "hm", "--raw", str(shop), "--workspace", str(folder)])
    encoder = ["--encoder", "squeezenet1_1", "--weights", "random", "--workers", "0"]
    main(["extract-features", "--modality", "image", *encoder, "--workspace", str(folder)])
    return folder


@pytest.fixture
def prepared(tssr, workspace, tmp_path):
    shutil.copytree(workspace, tmp_path / "workspace")
    return tssr


def runs_of(contender):
    return [run["run"] for run in contender["runs"]]


def test_each_model_takes_what_is_best_on_validation_and_only_that_meets_the_test_split(
    prepared, commands, tmp_path
):
    shown = prepared(*COMPARE, *RATES, "--json")
    assert shown.code == 0, shown.err
    contender = shown.json["contenders"]["sasrec-id"]
    tried = contender["tried"]
    assert [t["values"] for t in tried] == [{"learning_rate": 1e-5}, {"learning_rate": 1e-2}]
    best = max(tried, key=lambda t: t["validation_ndcg@10"])
    assert contender["chosen"] == best["values"]
    assert runs_of(contender)[0] == best["run"]
    records = {}
    for path in (tmp_path / "workspace" / "runs").glob("*/run.json"):
        records[path.parent.name] = json.loads(path.read_text())
    chosen = {run for one in shown.json["contenders"].values() for run in runs_of(one)}
    assert len(records) == 1 + 3
    for name in records:
        measured = (tmp_path / "workspace" / "runs" / name / "metrics.json").exists()
        assert measured == (name in chosen)
    settings = [records[run]["settings"]["train"] for run in runs_of(contender)]
    assert [(s["seed"], s["learning_rate"]) for s in settings] == [(1, 1e-2), (2, 1e-2)]
    values = shown.json["models"]["sasrec-id"]["seeds"]["ndcg@5"]
    for run, value in zip(runs_of(contender), values, strict=True):
        metrics = json.loads((tmp_path / "workspace" / "runs" / run / "metrics.json").read_text())
        assert metrics["measurements"][0]["metrics"]["ndcg@5"] == value
    assert len(runs_of(shown.json["contenders"]["poprec"])) == 1, "a seed changes nothing in PopRec"


def test_what_is_finished_is_not_done_again_and_more_seeds_are_added(prepared, commands):
    first = prepared(*COMPARE, *RATES, "--json")
    assert len(commands) == 4
    assert not first.json["cached"]
    again = prepared(*COMPARE, *RATES, "--json")
    assert len(commands) == 4
    assert again.json["cached"]
    assert again.json["models"] == first.json["models"]
    assert prepared(*COMPARE, *RATES, "--seeds", "3", "--json").code == 0
    assert len(commands) == 5
    assert "--seed 3" in " ".join(commands[-1])
    assert prepared(*commands[1][1:], "--json").json["cached"], "train makes the same run"


def test_the_tables_for_people_papers_and_programs(prepared, commands, tmp_path):
    shown = prepared(*COMPARE, *RATES, "--focus", "sasrec-id", "--by", "popularity", "--name", "mine")
    assert shown.code == 0, shown.err
    said = " ".join(shown.out.split())
    assert "sasrec-id chose --learning-rate 0.01 of 2 on validation" in said
    assert "NDCG@5 of sasrec-id against poprec: +0." in said
    folder = tmp_path / "workspace" / "comparisons"
    assert {path.name for path in folder.iterdir()} == {f"mine.{end}" for end in ("md", "csv", "tex", "json")}
    record = json.loads((folder / "mine.json").read_text())
    model = record["models"]["sasrec-id"]
    difference = model["metrics"]["ndcg@5"] - record["models"]["poprec"]["metrics"]["ndcg@5"]
    assert record["tests"]["poprec"]["difference"] == pytest.approx(difference)
    groups = record["slices"]["sasrec-id"].values()
    assert sum(group["queries"] for group in groups) == 60
    weighted = sum(group["queries"] * group["recall@5"] for group in groups) / 60
    assert weighted == pytest.approx(model["metrics"]["recall@5"])
    rows = list(csv.DictReader((folder / "mine.csv").open()))
    assert [row["model"] for row in rows] == ["poprec", "sasrec-id"]
    assert float(rows[1]["ndcg@5"]) == model["metrics"]["ndcg@5"]
    assert float(rows[1]["peak_memory"]) > 50 << 20, "a process that has loaded torch"
    markdown = (folder / "mine.md").read_text()
    assert f"**{model['metrics']['recall@5']:.4f} ± " in markdown
    assert 0 <= record["tests"]["poprec"]["p_all"] <= 1
    for title in ("NDCG@5 of sasrec-id against each", "p, all", "How often", "Tried on validation"):
        assert title.lower() in markdown.lower()
    assert r"\toprule" in (folder / "mine.tex").read_text()


def test_a_failed_run_is_told_and_the_rest_goes_on_next_time(prepared, commands, monkeypatch):
    kept = TrainingPool._run

    def fail(self, label, command):
        if "0.01" in command:
            raise TssrError(f"{label}: out of luck")
        kept(self, label, command)

    monkeypatch.setattr(TrainingPool, "_run", fail)
    failed = prepared(*COMPARE, *RATES)
    assert failed.code == 1
    assert "sasrec-id --learning-rate 0.01 --seed 1: out of luck" in failed.err
    monkeypatch.setattr(TrainingPool, "_run", kept)
    before = len(commands)
    assert prepared(*COMPARE, *RATES).code == 0
    assert len(commands) == before + 2


def test_a_trial_that_diverges_is_a_result_and_the_others_go_on(prepared, commands, tmp_path):
    tried = ("--try", "learning-rate=1e-2,1e30", "--seeds", "1", "--name", "mine")
    shown = prepared(*COMPARE, *tried)
    assert shown.code == 0, shown.err
    assert "sasrec-id --learning-rate 1e+30 --seed 1: diverged: " in shown.err
    assert "sasrec-id chose --learning-rate 0.01 of 2 (1 diverged) on validation" in shown.out
    folder = tmp_path / "workspace" / "comparisons"
    assert "| --learning-rate 1e+30 | diverged |" in (folder / "mine.md").read_text()
    report = json.loads((folder / "mine.json").read_text())
    assert [t["validation_ndcg@10"] is None for t in report["contenders"]["sasrec-id"]["tried"]] == [
        False,
        True,
    ]
    assert "not finite" in report["contenders"]["sasrec-id"]["tried"][1]["diverged"]
    before = len(commands)
    assert prepared(*COMPARE, *tried, "--json").json["cached"], "it would diverge again"
    assert len(commands) == before


def test_a_model_that_diverges_is_left_out_with_a_word(prepared, commands):
    shown = prepared(*COMPARE, "--learning-rate", "1e30", "--json", "--reference", "sasrec-id")
    assert shown.code == 0, shown.err
    assert list(shown.json["models"]) == ["poprec"]
    assert "not finite" in shown.json["left_out"]["sasrec-id"]
    assert shown.json["reference"] is None
    said = prepared(*COMPARE, "--learning-rate", "1e30").out
    assert "sasrec-id diverged and is not in the table: " in " ".join(said.split())
    alone = prepared("compare", "--models", "sasrec-id", *SMALL, "--learning-rate", "1e30", "--seeds", "1")
    assert alone.code == 1
    assert "every training diverged, so there is nothing to compare; " in alone.err


def test_a_seed_that_diverges_is_told_and_the_others_are_tested(prepared, commands, monkeypatch, tmp_path):
    kept = TrainingPool._ended

    def ended(folder, plan, command, *, cached):
        trained = kept(folder, plan, command, cached=cached)
        unlucky = (plan.model, plan.train.seed) == ("sasrec-id", 2)
        return replace(trained, diverged="unlucky") if trained and unlucky else trained

    monkeypatch.setattr(TrainingPool, "_ended", staticmethod(ended))
    models = ("--models", "poprec", "sasrec-id", "gru4rec", "--focus", "gru4rec")
    shown = prepared(*COMPARE, *models, "--seeds", "3")
    assert shown.code == 0, shown.err
    (record,) = (tmp_path / "workspace" / "comparisons").glob("*.json")
    tests = json.loads(record.read_text())["tests"]
    assert set(tests) == {"poprec", "sasrec-id"}
    assert all(test["seed_error"] is not None for test in tests.values())
    assert "sasrec-id: 1 of 3 seeds diverged and are left out" in shown.out


def test_two_names_of_one_model_are_trained_once(prepared, commands):
    shown = prepared("compare", "--models", "mv-trm", "sasrec-hybrid", *SMALL, "--topk", "5", "--seeds", "1")
    assert shown.code == 0, shown.err
    assert len(commands) == 1
    assert "mv-trm is another name of sasrec-hybrid; one training serves both" in shown.out
    lines = [line.split() for line in shown.out.splitlines()]
    rows = {cells[0]: cells[1:3] for cells in lines[:5] if cells}
    assert rows["mv-trm"] == rows["sasrec-hybrid"]


def test_only_a_list_length_that_was_typed_is_refused_for_its_size(tssr, commands, tmp_path):
    log = [f"u{user},i{(user + step) % 8},{step}" for user in range(12) for step in range(5)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,time", *log]))
    columns = ("--map", "user=user_id,item=item_id,time=time", "--min-actions", "0")
    made = tssr("preprocess", "custom", "--interactions", "log.csv", *columns)
    assert made.code == 0, made.err
    shown = tssr("compare", "--models", "poprec", "--seeds", "1", "--json")
    assert shown.code == 0, shown.err
    assert set(shown.json["models"]["poprec"]["metrics"]) == {"recall@8", "ndcg@8"}
    measured = tssr("evaluate", "--json").json["measurements"][0]["metrics"]
    assert {name.partition("@")[2] for name in measured} == {"8"}
    assert len(tssr("recommend", "--user", "u1", "--json").json["users"][0]["items"]) == 8
    for command in (("evaluate",), ("compare", "--models", "poprec"), ("recommend", "--user", "u1")):
        refused = tssr(*command, "--topk", "10")
        assert (refused.code, "--topk 10: custom has only 8 items" in refused.err) == (2, True)


def test_settings_for_all_for_one_and_for_a_variant(prepared, commands, tmp_path):
    (tmp_path / "c.toml").write_text(
        "[train]\nmax-epochs = 1\nbatch-size = 16\nwidth = 8\nheads = 2\ndropout = 0.5\nmodel = 'gru4rec'\n"
        "[train.sasrec-id]\ndropout = 0.25\n"
        "[train.no-contrast]\nmodel = 'tssr'\nlambda-user = 0\nlambda-item = 0\n"
        "[compare]\nmodels = ['poprec', 'sasrec-id', 'no-contrast']\nseeds = 1\ntopk = [5]\n"
        "[compare.try]\nlearning-rate = [1e-3]\n"
    )
    shown = prepared("compare", "--config", "c.toml", "--blocks", "1", "--json")
    assert shown.code == 0, shown.err
    assert list(shown.json["models"]) == ["poprec", "sasrec-id", "no-contrast"]
    settings = {}
    for name, contender in shown.json["contenders"].items():
        (run,) = runs_of(contender)
        record = json.loads((tmp_path / "workspace" / "runs" / run / "run.json").read_text())
        settings[name] = record["settings"]["train"] | record["settings"]["model"]
    assert (settings["sasrec-id"]["dropout"], settings["no-contrast"]["dropout"]) == (0.25, 0.5)
    assert settings["no-contrast"]["lambda_user"] == 0
    assert {settings[name]["blocks"] for name in ("sasrec-id", "no-contrast")} == {1}
    assert settings["poprec"]["max_epochs"] == 1000, "a model that is not trained takes no training settings"
    trained = prepared("train", "--model", "sasrec-id", "--config", "c.toml", "--json").json["settings"]
    assert trained["model"]["dropout"] == 0.25


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--models", "nosuch"), "--models: unknown model 'nosuch'; there are all, poprec"),
        (("--models", "poprec", "--dropout", "0.1"), "--dropout: none of poprec has such an option"),
        (("--models", "poprec", "gru4rec", "--blocks", "2"), "--blocks: none of poprec, gru4rec has such"),
        (
            ("--models", "gru4rec", "--try", "blocks=1,2"),
            "--try --blocks: none of gru4rec has such an option",
        ),
        (("--models", "gru4rec", "--try", "dropout"), "--try dropout: write it as in --try learning-rate="),
        (("--models", "gru4rec", "--try", "dropout=2"), "--dropout: should be less than 1, not '2'"),
        (("--models", "gru4rec", "--try", "dropout=0,.1", "--dropout", "0"), "the option is given too"),
        (("--models", "gru4rec", "--try", "seed=1,2"), "--try --seed: the best of several seeds is chance"),
        (("--models", "gru4rec", "--try", "preset=paper"), "--try --preset: only options of training, of"),
        (("--models", "poprec", "--try", "count-all=true,false"), "--try --count-all: it counts validation"),
        (
            ("--models", "poprec", "itemknn", "--features", "x"),
            "--features: none of poprec, itemknn reads content",
        ),
        (
            ("--models", "poprec", "sasrec-id", "--length", "5", "--mask", "exempt"),
            "(poprec 10, sasrec-id 5); give all of them the data set's window with --length 10",
        ),
        (("--models", "gru4rec", "--try", "device=cpu"), "--try --device: only options of training, of"),
        (("--models", "poprec", "--focus", "tssr"), "--focus tssr is not among --models: poprec"),
        (("--models", "poprec", "--reference", "tssr"), "--reference tssr is not among --models: poprec"),
        (("--models", "poprec", "--topk", "0"), "--topk: list lengths should be 1 or more"),
        (("--models", "poprec", "--topk", "21"), "--topk 21: hm has only 20 items"),
        (("--models", "poprec", "--name", "../x"), "--name '../x': use letters"),
        (("--models", "tssr", "--features", "text"), "tssr extract-features --dataset hm --modality text"),
        (("--models", "poprec", "--seeds", "0"), "--seeds: should be greater than or equal to 1"),
    ],
)
def test_what_an_option_gets_wrong(prepared, commands, arguments, words):
    failed = prepared("compare", *arguments)
    assert failed.code == 2
    assert words in failed.err
    assert failed.err.count("\n") == 1
    assert commands == []


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[train]\nblocks = 2\n", "[train] --blocks: none of gru4rec has such an option"),
        ("[train.gru4rec]\nblocks = 2\n", "blocks: unknown setting 'blocks'"),
        ("[train.mine]\nwidth = 2\n", "[train.mine]: mine is no model"),
        ("[train.x]\nmodel = ['tssr']\n", "[train.x]: x is no model"),
        ("[train.tssr]\nmodel = 'gru4rec'\n", "[train.tssr]: the table of tssr is of no other model"),
        ("[compare.try]\ndropout = []\n", "[compare.try]: give each option a list of values"),
        ("[compare.try]\ndropout = 0.1\n", "[compare.try]: give each option a list of values"),
        ("[compare]\ntopk = 10\n", "topk: should be a list, as in [10, 20], not 10"),
        ("[compare]\nmodel = 'gru4rec'\n", "model: unknown setting 'model'"),
    ],
)
def test_what_a_config_file_gets_wrong(prepared, commands, tmp_path, toml, words):
    (tmp_path / "c.toml").write_text(toml)
    failed = prepared("compare", "--models", "gru4rec", "--config", "c.toml")
    assert failed.code == 2
    assert words in failed.err
    assert "c.toml" in failed.err
    assert commands == []


OPTIONS = [
    {},
    {"learning_rate": 3e-4, "train_windows": "all", "seed": 7, "device": "cpu"},
    {"mask_duplicates": True, "lambda_user": 0.0, "tau_item": 1e-5, "length": 5, "head": "table+content"},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("model", ["poprec", "tssr"])
def test_the_command_of_a_plan_makes_the_same_plan(workspace, monkeypatch, model, options):
    chosen = resolve(RunSettings, {"model": model})
    values = {name: value for name, value in options.items() if name in options_of(model)}
    plan = plan_run(WorkspaceFolders(workspace), chosen, {}, values)
    made = []
    monkeypatch.setattr(
        "tssr.pipeline.runs.train.train", lambda _w, plan, name, force: made.append(plan) or 1 / 0
    )
    with pytest.raises(SystemExit):
        main(train_command(WorkspaceFolders(workspace), plan)[1:])
    assert made[0].key() == plan.key()
    assert made[0].train.device == plan.train.device


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kill", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_killed_comparison_goes_on_to_the_numbers_of_an_unbroken_one(
    prepared, workspace, tmp_path, program, kill, code
):
    long = ("compare", "--models", "sasrec-id", "--width", "8", "--heads", "2", "--batch-size", "4")
    long += ("--max-epochs", "60", "--patience", "1000", "--validate-every", "1", "--seeds", "2", "--json")

    def compare(folder, *more):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return program("-m", "tssr", *long, "--workspace", folder, *more, **pipes)

    broken = tmp_path / "workspace"
    process = compare(broken, "--jobs", "2")
    while process.poll() is None and not list(broken.glob("runs/*/checkpoint.safetensors")):
        time.sleep(0.05)
    process.send_signal(kill)
    _, err = process.communicate()
    assert process.returncode == code, err
    if kill != signal.SIGKILL:  # nobody can tell the others then; they end at their next word
        assert b"interrupted; finished work is kept" in err
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)  # no process of the group is left
    resumed = json.loads(compare(broken).communicate()[0])
    whole = tmp_path / "whole"
    shutil.copytree(workspace, whole)
    unbroken = json.loads(compare(whole, "--jobs", "2").communicate()[0])
    assert resumed["models"] == unbroken["models"]
    for run in unbroken["contenders"]["sasrec-id"]["runs"]:
        assert run["result"]["peak_memory"] > 50 << 20, "a process that has loaded torch"


@pytest.mark.slow
def test_the_last_words_of_a_process_that_failed_are_told(prepared, tmp_path):
    failed = prepared("compare", "--models", "gru4rec", "--seeds", "1", "--device", "cuda:9")
    assert failed.code == 1
    assert "gru4rec --seed 1: --device cuda:9: torch sees" in failed.err
    assert "tried: tssr train --workspace workspace --dataset hm --model gru4rec" in failed.err


@pytest.mark.parametrize("preset", ["official", "dense", "tuned"])
@pytest.mark.parametrize("model", ["poprec", "itemknn"])
def test_a_preset_is_no_matter_of_what_is_not_trained(prepared, commands, tmp_path, model, preset):
    (tmp_path / "c.toml").write_text(f"[train.{model}]\nseed = 3\n")
    arguments = ("--models", model, "--preset", preset, "--seeds", "1", "--config", "c.toml")
    assert prepared("compare", *arguments, "--json").code == 0
    assert prepared("train", "--model", model, "--preset", preset, "--config", "c.toml", "--json").json[
        "cached"
    ]
