"""The command `tssr preprocess`."""

from __future__ import annotations

import click

from ..preprocess.formats import FORMATS
from ..preprocess.settings import PreprocessSettings
from .options import config_section, settings_from, settings_options, stage_options, workspace_of
from .printing import show
from .stage_command import Choice, StageCommand


@settings_options(PreprocessSettings)
@click.command(cls=StageCommand, name="preprocess")
@click.argument("format_name", type=Choice(list(FORMATS)))
@click.option("--dataset", metavar="NAME", help="Name of the result.  [default: the format's name]")
@stage_options()
@click.pass_context
def command(
    ctx: click.Context, /, format_name: str, dataset: str | None, force: bool, as_json: bool, **_: object
) -> None:
    """Turn a raw dump into canonical Parquet tables.

    The format is the layout of the dump: one that its owners publish, or custom for tables of your own.

    \b
    Examples:
      tssr preprocess hm --raw ~/kaggle/h-and-m
      tssr preprocess custom --interactions log.csv --items items.csv \\
          --map user=user_id,item=item_id,time=time,text=title+genres,image=image
      tssr preprocess custom --interactions Beauty.txt --format sequences --dataset beauty
    """
    from ..preprocess.stage import preprocess

    config = {**FORMATS[format_name].defaults, **config_section(ctx.params["config"], "preprocess")}
    named = config.pop("dataset", format_name)
    settings = settings_from(ctx, PreprocessSettings, config)
    workspace = workspace_of(ctx)
    folder = workspace.dataset(dataset or str(named))
    show(preprocess(format_name, settings, workspace.raw(format_name), folder, force=force), as_json=as_json)
