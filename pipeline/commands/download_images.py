"""The command `tssr download-images`."""

from __future__ import annotations

import click

from ..download.settings import DownloadSettings
from ..preprocess.formats import FORMATS
from .options import config_section, settings_from, settings_options, stage_options, workspace_of
from .printing import show
from .stage_command import Choice, StageCommand


@settings_options(DownloadSettings)
@click.command(cls=StageCommand, name="download-images")
@click.argument("format_name", type=Choice([name for name in FORMATS if name != "custom"]))
@stage_options(force=False)
@click.pass_context
def command(ctx: click.Context, /, format_name: str, as_json: bool, **_: object) -> None:
    """Fetch the pictures whose addresses a raw dump lists (phone, toy).

    They are stored in the dump's folder images/, named by item. Pictures that exist are not fetched again, so
    the same command resumes a stopped download. Only http and https addresses of public hosts are fetched.

    \b
    Examples:
      tssr download-images phone
      tssr download-images toy --raw ~/amazon --workers 4 --rate 5
    """
    from ..download.stage import download_images

    settings = settings_from(ctx, DownloadSettings, config_section(ctx.params["config"], "download-images"))
    show(download_images(format_name, settings, workspace_of(ctx).raw(format_name)), as_json=as_json)
