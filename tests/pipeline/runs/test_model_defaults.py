"""A model's own defaults: above those of a preset, below what a person gives."""

import json

import numpy as np
import polars as pl
import pytest

from tssr.api.workspace import Workspace
from tssr.core.settings import option_words, resolve
from tssr.core.workspace import WorkspaceFolders
from tssr.model.presets import PRESETS
from tssr.model.registry import MODELS
from tssr.pipeline.compare.training_pool import train_command
from tssr.pipeline.runs import plan as plan_module
from tssr.pipeline.runs.end_to_end_settings import EndToEndSettings
from tssr.pipeline.runs.plan import ADDED_LATER, options_of, plan_run
from tssr.pipeline.runs.settings import RunSettings

OWN = [model for model, spec in MODELS.items() if spec.defaults]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A data set with titles and vectors for them, made from Python."""
    opened = Workspace(tmp_path_factory.mktemp("defaults"))
    rows = [(user, (user + step) % 7, step) for user in range(12) for step in range(5)]
    actions = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    items = pl.DataFrame({"item": list(range(7)), "title": [f"thing {item}" for item in range(7)]})
    shop = opened.preprocess(
        "custom",
        interactions=actions,
        items=items,
        user="user",
        item="item",
        time="time",
        text="title",
        min_actions=0,
    )
    shop.import_features("text", np.eye(7, dtype=np.float32), ids=list(range(7)))
    return WorkspaceFolders(opened.folder)


def planned(workspace, model, typed=None, preset="paper"):
    return plan_run(workspace, resolve(RunSettings, {"model": model, "preset": preset}), {}, typed or {})


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("model", OWN)
def test_they_hold_under_every_preset_and_give_way_to_what_is_typed(workspace, model, preset):
    plan = planned(workspace, model, preset=preset)
    settings = dict(plan.train) | dict(plan.model_settings)
    assert {name: settings[name] for name in MODELS[model].defaults} == MODELS[model].defaults
    assert planned(workspace, model, {"learning_rate": 1e-4}, preset).train.learning_rate == 1e-4


def test_other_models_keep_the_papers(workspace):
    assert planned(workspace, "tssr").train.learning_rate == 1e-4
    assert planned(workspace, "tssr").options() == {}


@pytest.mark.parametrize("typed", [{}, {"learning_rate": 1e-4}, {"batch_size": 256, "patience": 3}])
@pytest.mark.parametrize("model", [model for model, spec in MODELS.items() if spec.trained])
def test_the_command_that_compare_runs_means_the_same_plan(workspace, model, typed):
    """Also where a value is the paper's default and not the model's: `--learning-rate 1e-4` of tssr-rank."""
    plan = planned(workspace, model, typed)
    assert planned(workspace, model, plan.options()).key() == plan.key()
    words = option_words(plan.options())
    assert train_command(WorkspaceFolders("w"), plan)[-len(words) :] == words or not words


@pytest.mark.parametrize("name", sorted(ADDED_LATER.keys() - EndToEndSettings.model_fields))
def test_a_setting_that_came_later_changes_no_key_by_its_default(workspace, monkeypatch, name):
    monkeypatch.setattr(plan_module, "fingerprint", json.dumps)
    model = next(model for model, spec in MODELS.items() if name in options_of(model) and spec.reads_content)
    assert name not in planned(workspace, model).key()
    other = "content" if name == "item_start" else 0.5
    assert name in planned(workspace, model, {name: other}).key()


def test_a_model_whose_numbers_changed_has_another_key_and_others_keep_theirs(workspace, monkeypatch):
    before = {name: planned(workspace, name).key() for name in ("sasrec-id", "order-knn")}
    monkeypatch.setitem(plan_module.MODEL_VERSIONS, "order-knn", 99)
    after = {name: planned(workspace, name).key() for name in before}
    assert after["sasrec-id"] == before["sasrec-id"]
    assert after["order-knn"] != before["order-knn"]
