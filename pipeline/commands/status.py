"""`tssr status`."""

from __future__ import annotations

import click

from .options import stage_options, workspace_of
from .printing import show


@click.command("status")
@stage_options(config=False, force=False)
@click.pass_context
def command(ctx: click.Context, /, as_json: bool, **_options: object) -> None:
    """Show what the workspace holds, what is out of date and why, and the next command to give.

    \b
    Examples:
      tssr status
      tssr status --workspace /data/shop --json
    """
    from ..runs.housekeeping import workspace_status

    show(workspace_status(workspace_of(ctx)), as_json=as_json)
