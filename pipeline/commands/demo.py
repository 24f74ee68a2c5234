"""`tssr demo`."""

from __future__ import annotations

import click

from ..demo.settings import DemoSettings
from .options import config_section, settings_from, settings_options, stage_options, workspace_of
from .printing import show
from .stage_command import StageCommand


@settings_options(DemoSettings)
@click.command("demo", cls=StageCommand)
@stage_options(workspace="demo")  # beside a real workspace, never inside it
@click.pass_context
def command(ctx: click.Context, /, force: bool, as_json: bool, **_: object) -> None:
    """Run the whole pipeline on a generated shop, from raw dump to pictures.

    Draws the articles of a shop and the purchases of its customers in H&M's layout, then runs the public
    stages on them: preprocess, extract-features, train and evaluate for PopRec, Content-KNN, SASRec-ID,
    SASRec-Content and TSSR, and blend. Ends with one table, one picture and a report to open in a browser.

    \b
    Examples:
      tssr demo
      tssr demo --workspace shop --seed 2
    """
    from ..demo.tour import run_demo

    settings = settings_from(ctx, DemoSettings, config_section(ctx.params["config"], "demo"))
    show(run_demo(workspace_of(ctx), settings, force=force), as_json=as_json)
