"""`tssr compare`."""

from __future__ import annotations

import click

from ...model.registry import MODELS
from ...model.settings import TrainSettings
from ..compare.searching import search_settings, training_options
from ..compare.settings import CompareSettings
from ..runs.end_to_end_settings import EndToEndSettings
from ..runs.train_config import TrainConfig
from .options import config_section, settings_options, stage_options, workspace_of
from .printing import show
from .search_options import given_options, own_config, try_option
from .stage_command import StageCommand


@settings_options(
    CompareSettings, TrainSettings, *(spec.settings for spec in MODELS.values()), EndToEndSettings
)
@click.command("compare", cls=StageCommand)
@try_option("Let each model take the best on validation at the first seed; repeatable.")
@stage_options(force=False)
@click.pass_context
def command(ctx: click.Context, /, **_options: object) -> None:
    """Train several models, measure each over several seeds, and compare them in one table.

    Options of training and of models apply to every model that has them, as does the table [train] of
    --config. A table [train.NAME] applies to the model NAME alone; with a key model it defines a variant of
    that model, and with a key blend a blend of several. Each run is a tssr train in a process of its own.
    Finished runs are not trained again, so the same command resumes a killed comparison.

    \b
    Examples:
      tssr compare --models all --seeds 3
      tssr compare --models sasrec-id tssr --try learning-rate=3e-4,1e-3 --try dropout=.1,.3
      tssr compare --config best.toml --jobs 2 --json
    """
    from ..compare.blends import listed_blends
    from ..compare.contenders import plan_contenders
    from ..compare.stage import compare_models

    config_path = ctx.params["config"]
    config = TrainConfig.of(config_section(config_path, "train"), config_path)
    given = given_options(ctx)
    settings = search_settings(CompareSettings, given, own_config(ctx), config)
    training = training_options(given, CompareSettings)
    workspace = workspace_of(ctx)
    blends = listed_blends(settings.models, config)
    contenders = plan_contenders(workspace, settings, config, training)
    show(compare_models(workspace, settings, contenders, blends), as_json=ctx.params["as_json"])
