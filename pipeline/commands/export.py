"""`tssr export`."""

from __future__ import annotations

import click

from ..export.settings import ExportSettings
from .options import config_section, settings_from, settings_options, stage_options, workspace_of
from .printing import show
from .stage_command import StageCommand


@settings_options(ExportSettings)
@click.command("export", cls=StageCommand)
@stage_options(force=False)
@click.pass_context
def command(ctx: click.Context, /, as_json: bool, **_options: object) -> None:
    """Write a run as files that rank without tssr, or a data set as other systems read it.

    A run becomes a folder with graphs (ONNX and torch.export), item vectors, id maps, a FAISS index, a short
    program that ranks with these files, and a card that describes them. The export is checked first: that
    program ranks for 1,000 users in a process without tssr, and its lists must equal those of tssr.

    \b
    Examples:
      tssr export --run hm-tssr-3f2a91bc --output served
      tssr export --to recbole --dataset hm --output recbole-data
      tssr export --to sequences --dataset hm --output sequences
    """
    from ..export.stage import export

    settings = settings_from(ctx, ExportSettings, config_section(ctx.params["config"], "export"))
    show(export(workspace_of(ctx), settings), as_json=as_json)
