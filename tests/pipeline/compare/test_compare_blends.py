"""Blends in `tssr compare`: retrained with each seed, with the control beside them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tssr.cli import main
from tssr.core.settings import resolve
from tssr.core.workspace import WorkspaceFolders
from tssr.model.settings import BlendSettings
from tssr.pipeline.compare import blends
from tssr.pipeline.compare.contenders import Contender, Trial
from tssr.pipeline.compare.settings import CompareSettings
from tssr.pipeline.compare.training_pool import ContenderRuns, TrainedRun

SMALL = ("--width", "8", "--heads", "2", "--max-epochs", "2", "--batch-size", "16")
COMPARE = ("compare", "--config", "c.toml", *SMALL, "--topk", "5", "--seeds", "2", "--json")
CONFIG = """
[train.ids-and-looks]
blend = ["sasrec-id", "content-knn"]
by-popularity = true

[compare]
models = ["poprec", "ids-and-looks"]
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, shop):
    folder = tmp_path_factory.mktemp("prepared")
    main(["preprocess", "hm", "--raw", str(shop), "--workspace", str(folder)])
    encoder = ["--encoder", "squeezenet1_1", "--weights", "random", "--workers", "0"]
    main(["extract-features", "--modality", "image", *encoder, "--workspace", str(folder)])
    return folder


@pytest.mark.slow
def test_a_blend_is_made_at_each_seed_beside_its_parts_and_its_control(tssr, workspace, tmp_path):
    (tmp_path / "c.toml").write_text(CONFIG)
    shown = tssr(*COMPARE, "--workspace", workspace)
    assert shown.code == 0, shown.err
    contenders = shown.json["contenders"]
    assert list(contenders) == ["poprec", "sasrec-id", "content-knn", "ids-and-looks", "2 x sasrec-id"]
    runs = {name: [run["run"] for run in one["runs"]] for name, one in contenders.items()}
    parts = {
        name: [[part["run"] for part in run["result"]["parts"]] for run in contenders[name]["runs"]]
        for name in ("ids-and-looks", "2 x sasrec-id")
    }
    assert parts["ids-and-looks"] == [[own, runs["content-knn"][0]] for own in runs["sasrec-id"]]
    control = parts["2 x sasrec-id"]
    assert [pair[0] for pair in control] == runs["sasrec-id"]
    assert len({run for pair in control for run in pair}) == 4, "every training of the control is another"
    assert contenders["ids-and-looks"]["runs"][0]["command"].endswith("--by-popularity")
    assert len(shown.json["models"]["ids-and-looks"]["seeds"]["ndcg@5"]) == 2
    again = tssr(*COMPARE, "--workspace", workspace)
    assert again.json["cached"]
    assert again.json["models"] == shown.json["models"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('[train.b]\nblend = ["sasrec-id"]', "blend takes two models or more"),
        ('[train.b]\nblend = "sasrec-id"', "blend takes two models or more"),
        ('[train.b]\nblend = ["sasrec-id", "nobody"]', "nobody"),
        ('[train.b]\nblend = ["b", "sasrec-id"]', "b is a blend itself"),
        ('[train.b]\nblend = ["sasrec-id", "poprec"]\nwidth = 3', "width"),
        ('[train.tssr]\nblend = ["sasrec-id", "poprec"]', "blend makes no model"),
    ],
)
def test_a_blend_that_cannot_be_meant_is_refused(tssr, workspace, tmp_path, table, words):
    (tmp_path / "c.toml").write_text(table)
    refused = tssr("compare", "--config", "c.toml", "--models", "b", "--workspace", workspace)
    assert refused.code != 0
    assert words in refused.err
    assert len(refused.err.strip().splitlines()) == 1


def test_a_blend_keeps_the_seeds_of_its_parts_where_one_diverged(monkeypatch, tmp_path):
    """Without seed 1 the blend of seed 2 stays that of seed 2, which tests pair with other models' seed 2."""
    plan = SimpleNamespace(title="A + B", train=SimpleNamespace(device="cpu", seed=1))
    monkeypatch.setattr(blends, "open_run", lambda workspace, folder: folder)
    monkeypatch.setattr(blends, "plan_blend", lambda *parts: plan)
    monkeypatch.setattr(
        blends,
        "blend_runs",
        lambda _, names, *__, **___: SimpleNamespace(
            data={"run": "-".join(names), "result": {}}, cached=False
        ),
    )

    def runs(name):
        return [TrainedRun(tmp_path / f"{name}{seed}", {}, [], False) for seed in range(3)]

    ids, near = runs("ids"), runs("near")
    ids[1] = replace(ids[1], diverged="the loss is not finite")
    trained = {
        model: (Contender(model, model, model, [Trial({}, plan)]), ContenderRuns(own[:1], 0, own))
        for model, own in (("sasrec-id", ids), ("bpr-mf", near))
    }
    settings = resolve(CompareSettings, {"models": ("mix",), "seeds": 3})
    mixed = blends.MixedContender("mix", ("sasrec-id", "bpr-mf"), resolve(BlendSettings, {}))
    own = {name: of.runs for name, (_, of) in trained.items()}
    _, chosen = blends._blend(WorkspaceFolders(tmp_path), settings, mixed, trained, own)
    assert [run.folder.name for run in chosen.runs] == ["ids0-near0", "ids1", "ids2-near2"]
    assert [run.diverged is None for run in chosen.runs] == [True, False, True]
    assert [run.folder.name for run in chosen.tried] == ["ids0-near0"]
