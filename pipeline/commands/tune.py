"""`tssr tune`."""

from __future__ import annotations

import click

from ...model.registry import MODELS
from ...model.settings import TrainSettings
from ..compare.searching import search_settings, training_options
from ..compare.tune_settings import TuneSettings
from ..runs.end_to_end_settings import EndToEndSettings
from ..runs.train_config import TrainConfig
from .options import config_section, settings_options, stage_options, workspace_of
from .printing import show
from .search_options import given_options, own_config, try_option
from .stage_command import Choice, StageCommand


@settings_options(TuneSettings, TrainSettings, *(spec.settings for spec in MODELS.values()), EndToEndSettings)
@click.command("tune", cls=StageCommand)
@click.argument("model", metavar="MODEL", type=Choice(list(MODELS)))
@try_option("Search these values instead of the stated space; repeatable.")
@stage_options(force=False)
@click.pass_context
def command(ctx: click.Context, /, model: str, **_options: object) -> None:
    """Search a model's settings on validation, with optuna. MODEL is any that tssr train --help lists.

    The search space is a short list of values for the learning rate, dropout and the weights of the model's
    loss terms (see docs/comparing.md), or the values given by --try. An option that is given is not searched.
    The best settings are printed as a table for --config of train and compare. The search is stored in an
    SQLite file, so the same command resumes it, up to --trials in all.

    \b
    Examples:
      tssr tune tssr --trials 30
      tssr tune sasrec-hybrid --features text --try learning-rate=3e-4,1e-3 --try dropout=.1,.2,.3
    """
    from ..compare.tune import plan_search, tune

    config_path = ctx.params["config"]
    config = TrainConfig.of(config_section(config_path, "train"), config_path)
    given = given_options(ctx)
    settings = search_settings(TuneSettings, given, own_config(ctx), config)
    options = training_options(given, TuneSettings)
    workspace = workspace_of(ctx)
    plan = plan_search(workspace, model, settings, config, options)
    show(tune(workspace, settings, plan, list(options)), as_json=ctx.params["as_json"])
