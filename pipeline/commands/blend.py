"""`tssr blend`."""

from __future__ import annotations

import click

from ...model.settings import BlendSettings
from .options import config_section, settings_from, settings_options, stage_options, workspace_of
from .printing import show
from .stage_command import StageCommand


@settings_options(BlendSettings)
@click.command("blend", cls=StageCommand)
@click.argument("runs", nargs=-1, required=True)
@click.option("--run", help="Name of the run folder. [default: made from what is blended]")
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N. [default: auto]")
@stage_options()
@click.pass_context
def command(ctx: click.Context, /, runs: tuple[str, ...], **_options: object) -> None:
    """Add up the scores of finished runs, with weights chosen on validation.

    The result is a run like any other, for evaluate, recommend and compare. A good pair is a model of ids and
    a model of content, for example sasrec-id and content-knn: each uses what the other does not read.

    \b
    Examples:
      tssr blend toys-sasrec-id-1f2e3d4c toys-content-knn-9a8b7c6d
      tssr blend ids titles pictures --by-popularity --run all-three
    """
    from ..runs.blend import blend_runs

    settings = settings_from(ctx, BlendSettings, config_section(ctx.params["config"], "blend"))
    summary = blend_runs(
        workspace_of(ctx),
        runs,
        settings,
        name=ctx.params["run"],
        device=ctx.params["device"],
        force=ctx.params["force"],
    )
    show(summary, as_json=ctx.params["as_json"])
