"""`tssr clean`."""

from __future__ import annotations

import click

from ...core.errors import UsageError
from .options import stage_options, workspace_of
from .printing import show


@click.command("clean")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@stage_options(config=False, force=False)
@click.pass_context
def command(ctx: click.Context, /, yes: bool, as_json: bool, **_options: object) -> None:
    """Remove files that nothing refers to, after listing them.

    These are: runs that no longer fit their data and are in no comparison; features, measured lists and
    studies of tssr tune whose data set is gone; and temporary files of killed processes that are older than
    an hour. Comparisons, tables of tssr reproduce and tuned settings are results and stay.

    \b
    Examples:
      tssr clean
      tssr clean --yes --json
    """
    from ..runs.housekeeping import remove, unused_entries, unused_summary

    workspace = workspace_of(ctx)
    unused = unused_entries(workspace)
    if as_json and unused and not yes:
        raise UsageError("--json cannot ask whether to remove; add --yes, or look with: tssr status --json")
    show(unused_summary(workspace, unused), as_json=as_json)
    if unused and (yes or click.confirm("Remove them?")):
        remove(unused)
