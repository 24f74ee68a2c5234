"""`tssr compare`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ...core.errors import UsageError
from ...model.registry import MODELS
from ...model.settings import TrainSettings
from ..compare_settings import CompareSettings
from ..run_settings import SourceSettings
from ..train_table import TrainTable
from .options import (
    StageCommand,
    config_section,
    settings_from,
    settings_options,
    show,
    stage_options,
    typed,
    workspace_of,
)

STAGE_PARAMETERS = ("workspace", "config", "as_json", "debug")


def _tried(_ctx: click.Context, _param: click.Parameter, texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`learning-rate=3e-4,1e-3` as {"learning_rate": ("3e-4", "1e-3")}."""
    tried = {}
    for text in texts:
        name, equals, values = text.partition("=")
        parts = tuple(part.strip() for part in values.split(",") if part.strip())
        if not (name and equals and parts):
            raise UsageError(f"--try {text}: write it as in --try learning-rate=3e-4,1e-3")
        tried[name.strip().removeprefix("--").replace("-", "_")] = parts
    return tried


@settings_options(CompareSettings, TrainSettings, *(spec.settings for spec in MODELS.values()))
@click.command("compare", cls=StageCommand)
@click.option(
    "--try",
    "tried",
    multiple=True,
    metavar="OPTION=VALUES",
    callback=_tried,
    help="Let each model take the value with the best validation NDCG@10 at the first seed; repeatable, all "
    "combinations are tried.",
)
@stage_options(force=False)
@click.pass_context
def command(ctx: click.Context, /, **_options: object) -> None:
    """Train several models, measure each over several seeds, and lay them side by side.

    Options of training and of models go to all models that have them; [train] in --config does the same, and
    [train.NAME] there is for one model, or with a key model for a variant of one. Each run is one of tssr
    train in a process of its own: what is finished is not trained again, and a killed comparison goes on when
    the same command is given again.

    \b
    Examples:
      tssr compare --models all --seeds 3
      tssr compare --models sasrec-id tssr --try learning-rate=3e-4,1e-3 --try dropout=.1,.3
      tssr compare --config best.toml --jobs 2 --json
    """
    from ..compare import compare_models
    from ..entrants import enter

    config_path = ctx.params["config"]
    table = TrainTable.of(config_section(config_path, "train"), config_path)
    sources = set(SourceSettings.model_fields)
    own = config_section(config_path, "compare")
    if "try" in own:
        own["tried"] = own.pop("try")
    shared = {name: value for name, value in table.common.items() if name in sources}
    settings = settings_from(ctx, CompareSettings, shared | own)
    not_training = {*STAGE_PARAMETERS, *CompareSettings.model_fields} - sources
    training = {name: value for name, value in typed(ctx).items() if name not in not_training}
    workspace = workspace_of(ctx)
    entrants = enter(workspace, settings, table, training, config_path)
    show(compare_models(workspace, settings, entrants), as_json=ctx.params["as_json"])
