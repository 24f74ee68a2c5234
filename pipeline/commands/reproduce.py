"""`tssr reproduce`."""

from __future__ import annotations

import click

from ..reproduce.settings import ReproduceSettings
from ..runs.train_config import TrainConfig
from .options import config_section, settings_from, settings_options, stage_options, workspace_of
from .printing import show
from .stage_command import StageCommand


@settings_options(ReproduceSettings)
@click.command("reproduce", cls=StageCommand)
@click.argument("what")
@click.argument("name", required=False)
@stage_options(force=False)
@click.pass_context
def command(ctx: click.Context, /, what: str, name: str | None, as_json: bool, **_options: object) -> None:
    """Reproduce a table or figure of the paper, or a table that others published, beside their numbers.

    WHAT is table1, table2, table3, figure1, figure3, figure4, figure5, figure6, or published with a NAME
    (without one it lists the names). Runs that are missing are trained by tssr compare, and a killed command
    resumes when it is given again. Results are written to the folder reproduced in the workspace: numbers as
    CSV and Markdown, figures as SVG and PNG.

    Training uses the paper's settings; a table [train] of --config replaces those that your data ask for (not
    those of published entries, which are part of the entry).

    \b
    Examples:
      tssr reproduce table3 --dataset toy --features image
      tssr reproduce figure3 --quick
      tssr reproduce table1 --config sparse.toml
      tssr reproduce published s3rec-toys-poprec --raw downloads
    """
    from ..reproduce.stage import reproduce

    config_path = ctx.params["config"]
    settings = settings_from(ctx, ReproduceSettings, config_section(config_path, "reproduce"))
    config = TrainConfig.of(config_section(config_path, "train"), config_path)
    show(reproduce(workspace_of(ctx), what, name, settings, config), as_json=as_json)
