"""The export stage: a run, or a data set, as a folder of files that other systems read."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import UsageError
from ...core.summary import Summary
from ...core.workspace import WorkspaceFolders
from .settings import ExportSettings


def export(workspace: WorkspaceFolders, settings: ExportSettings) -> Summary:
    """Write what `settings` ask for; the folder is whole or absent.

    Raises UsageError for a folder that holds something, and whatever writing a run or a data set raises.
    """
    folder = _empty(settings.output)
    if settings.to == "serving":
        from .serving import export_run

        return export_run(workspace, folder, settings)
    from .data_set import export_data_set

    return export_data_set(workspace, folder, settings)


def _empty(path: Path | None) -> Path:
    """The folder to write; raises UsageError where something is there."""
    assert path is not None, "ExportSettings refuses an export to nowhere"
    path = path.absolute()
    if path.is_file():
        raise UsageError(f"--output {path}: that is a file; name a new folder")
    if path.is_dir() and any(path.iterdir()):
        raise UsageError(f"--output {path}: the folder is not empty; name a new one, or empty it")
    return path
