"""`tssr status`."""

from __future__ import annotations

import click

from ...core.summary import Summary
from .options import show, stage_options, workspace_of


@click.command("status")
@stage_options(config=False, force=False)
@click.pass_context
def command(ctx: click.Context, /, as_json: bool, **_options: object) -> None:
    """Show what the workspace holds, what of it no longer fits and why, and what to do next.

    \b
    Examples:
      tssr status
      tssr status --workspace /data/shop --json
    """
    from ..runs.inventory import next_step, take_inventory

    workspace = workspace_of(ctx)
    entries = take_inventory(workspace)
    rows = [
        [entry.kind, entry.name, f"{entry.size / (1 << 20):,.1f} MiB", age_in_words(entry.age), entry.state]
        for entry in entries
    ]
    told = next_step(workspace, entries)
    records = [
        {
            "kind": e.kind,
            "name": e.name,
            "bytes": e.size,
            "age": round(e.age),
            "state": e.state,
            "unused": e.unused,
        }
        for e in entries
    ]
    data = {"stage": "status", "workspace": str(workspace.root), "entries": records, "next": told}
    columns = ["what", "name", "size", "age", "state"]
    notes = [f"next: {told}"]
    if any(entry.unused for entry in entries):
        notes.append("tssr clean removes what nothing refers to")
    show(Summary(f"Workspace {workspace.root}", rows, data, columns, notes), as_json=as_json)


def age_in_words(seconds: float) -> str:
    """An age in its largest unit.

    >>> age_in_words(30), age_in_words(7300), age_in_words(200_000)
    ('30 s', '2 h', '2 days')
    """
    for unit, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit:.0f} {name}"
    return f"{seconds:.0f} s"
