"""`tssr report`."""

from __future__ import annotations

import click

from ..report.settings import ReportSettings
from .options import config_section, settings_from, settings_options, stage_options, workspace_of
from .printing import show
from .stage_command import StageCommand


@settings_options(ReportSettings)
@click.command("report", cls=StageCommand)
@stage_options(force=False)
@click.pass_context
def command(ctx: click.Context, /, **_options: object) -> None:
    """Write one HTML file that shows the data, what runs learned, and how good they are.

    The file contains everything, pictures too, and loads nothing from the network, so it can be sent and
    archived. The models make lists for some users; the metrics are those that tssr evaluate measured.

    \b
    Examples:
      tssr report
      tssr report --run hm-tssr-3f2a91bc hm-sasrec-id-515276c0 --output two.html
      tssr report --comparison hm-0a1b2c3d --users 50 --no-pictures
    """
    from ..report.stage import write_report

    settings = settings_from(ctx, ReportSettings, config_section(ctx.params["config"], "report"))
    show(write_report(workspace_of(ctx), settings), as_json=ctx.params["as_json"])
