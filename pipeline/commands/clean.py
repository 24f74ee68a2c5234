"""`tssr clean`."""

from __future__ import annotations

import shutil

import click

from ...core.errors import UsageError, os_errors_as_tssr
from ...core.summary import Summary
from .options import show, stage_options, workspace_of


@click.command("clean")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@stage_options(config=False, force=False)
@click.pass_context
def command(ctx: click.Context, /, yes: bool, as_json: bool, **_options: object) -> None:
    """Remove what nothing refers to, after showing it.

    That is: runs that no longer fit their data and are in no comparison; features, measured lists and studies
    of tssr tune whose data set is gone; and temporary files of killed processes that are older than an hour.
    Comparisons, what tssr reproduce wrote and tuned settings are results and stay.

    \b
    Examples:
      tssr clean
      tssr clean --yes --json
    """
    from ..runs.inventory import take_inventory

    workspace = workspace_of(ctx)
    unused = [entry for entry in take_inventory(workspace) if entry.unused]
    freed = sum(entry.size for entry in unused)
    if as_json and unused and not yes:
        raise UsageError("--json cannot ask whether to remove; add --yes, or look with: tssr status --json")
    rows = [[entry.kind, entry.name, f"{entry.size / (1 << 20):,.1f} MiB", entry.state] for entry in unused]
    names = [f"{entry.kind} {entry.name}" for entry in unused]
    data = {"stage": "clean", "removed": names, "bytes": freed}
    title = f"{len(unused)} things in {workspace.root} that nothing refers to, {freed / (1 << 20):,.1f} MiB"
    show(Summary(title, rows, data, ["what", "name", "size", "why"]), as_json=as_json)
    if not unused or not (yes or click.confirm("Remove them?")):
        return
    for entry in unused:
        with os_errors_as_tssr(f"remove {entry.path}", entry.path):
            if entry.path.is_dir():
                shutil.rmtree(entry.path)
            else:
                entry.path.unlink(missing_ok=True)
