"""`tssr status` and `tssr clean`: the contents of a workspace as a table, and the removal of unused parts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from ...core.errors import os_errors_as_tssr
from ...core.summary import Summary
from ...core.words import size_in_words
from ...core.workspace import WorkspaceFolders
from .inventory import WorkspaceEntry, next_step, take_inventory


def workspace_status(workspace: WorkspaceFolders) -> Summary:
    """The contents of the workspace, what in it no longer fits and why, and the next command to give."""
    entries = take_inventory(workspace)
    rows = [
        [entry.kind, entry.name, size_in_words(entry.size), age_in_words(entry.age), entry.state]
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
    return Summary(f"Workspace {workspace.root}", rows, data, columns, notes, records=records)


def unused_entries(workspace: WorkspaceFolders) -> list[WorkspaceEntry]:
    """The entries that nothing refers to and nothing can use."""
    return [entry for entry in take_inventory(workspace) if entry.unused]


def unused_summary(workspace: WorkspaceFolders, unused: Sequence[WorkspaceEntry]) -> Summary:
    """A table of the unused entries, which would be removed or were removed."""
    freed = sum(entry.size for entry in unused)
    rows = [[entry.kind, entry.name, size_in_words(entry.size), entry.state] for entry in unused]
    names = [f"{entry.kind} {entry.name}" for entry in unused]
    data = {"stage": "clean", "removed": names, "bytes": freed}
    title = f"{len(unused)} things in {workspace.root} that nothing refers to, {size_in_words(freed)}"
    return Summary(title, rows, data, ["what", "name", "size", "why"])


def remove(unused: Sequence[WorkspaceEntry]) -> None:
    """Delete files and folders; raises TssrError for the first that cannot be."""
    for entry in unused:
        with os_errors_as_tssr(f"remove {entry.path}", entry.path):
            if entry.path.is_dir():
                shutil.rmtree(entry.path)
            else:
                entry.path.unlink(missing_ok=True)


def age_in_words(seconds: float) -> str:
    """An age in its largest unit.

    >>> age_in_words(30), age_in_words(7300), age_in_words(200_000)
    ('30 s', '2 h', '2 days')
    """
    for unit, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit:.0f} {name}"
    return f"{seconds:.0f} s"
