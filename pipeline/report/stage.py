"""The report stage: finished runs in, one self-contained HTML file out."""

from __future__ import annotations

from importlib.util import find_spec

from ...core.artifacts import write_text
from ...core.dataset import load_dataset
from ...core.errors import TssrError, UsageError
from ...core.summary import Summary
from ...core.workspace import WorkspaceFolders
from .settings import ReportSettings
from .shown_runs import choose_scope

REPORT_FILE = "report.html"
_NEEDED = {"jinja2": "jinja2", "sklearn": "scikit-learn"}  # module: what pip calls it


def missing_extra() -> str | None:
    """What a report still needs and how to install it, in one line; None where all is there."""
    missing = [package for module, package in _NEEDED.items() if find_spec(module) is None]
    if not missing:
        return None
    return f"tssr report needs {' and '.join(missing)}; install with: pip install 'tssr[report]'"


def write_report(workspace: WorkspaceFolders, settings: ReportSettings) -> Summary:
    """Gather every view of the runs and write the file.

    Raises UsageError where there is nothing to report on, ArtifactError where a run no longer fits its data,
    TssrError where the extra `report` is not installed.
    """
    output = settings.output or workspace.root / REPORT_FILE
    if output.suffix.lower() != ".html":
        raise UsageError(f"--output {output}: a report is HTML; let the name end in .html")
    if (cure := missing_extra()) is not None:
        raise TssrError(cure)
    from .page import render_page
    from .views import gather_views

    scope = choose_scope(workspace, settings)
    page = render_page(gather_views(workspace, settings, scope, load_dataset(scope.dataset)))
    write_text(output, page)
    size = len(page.encode())
    data = {
        "stage": "report",
        "dataset": scope.dataset.name,
        "runs": [run.folder.name for run in scope.runs],
        "file": str(output),
        "bytes": size,
    }
    rows = [
        ("runs", ", ".join(run.label for run in scope.runs)),
        ("size", f"{size / 1e6:.1f} MB"),
        ("file", str(output)),
    ]
    return Summary(f"Report on {scope.dataset.name}", rows, data)
