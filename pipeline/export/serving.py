"""The export of a trained run: files that rank without tssr, the check of them, and their card."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ...core.artifacts import atomic_folder, sha256_file, write_json
from ...core.dataset import load_dataset
from ...core.progress import note
from ...core.schema import ITEM_ID
from ...core.summary import Summary
from ...core.workspace import WorkspaceFolders
from ..runs.plan import RunPlan
from ..runs.record import open_run
from ..runs.scorer import scorer_of
from ..runs.trained_model import trained_model
from .card import ExportResult, write_card
from .graphs import require_onnx
from .item_side import write_item_side
from .kinds import KINDS, ExportedRun, kind_of
from .proof import TOPK, prove, some_users
from .settings import ExportSettings
from .tables import item_table, user_table, write_arrow


def export_run(workspace: WorkspaceFolders, folder: Path, settings: ExportSettings) -> Summary:
    """Write the run of `settings` into `folder` and check that its files give the lists that tssr gives.

    Raises UsageError where a part of ONNX is missing, ArtifactError where the check fails.
    """
    require_onnx()
    run = workspace.choose_run(settings.run)
    plan = open_run(workspace, run)
    exported_run = _open_run_to_export(run, plan, settings)
    name = kind_of(exported_run.model)
    kind = KINDS[name]
    with atomic_folder(folder) as temporary:
        note(f"exporting {run.name} as {name}")
        shutil.copy(Path(__file__).parent / "standalone" / f"{kind.program}.py", temporary / "rank.py")
        # Before the user side, which changes the model.
        item_side = write_item_side(exported_run, run, temporary)
        graphs = kind.write(exported_run, temporary)
        write_arrow(exported_run.users, temporary / "users.arrow")
        asked = kind.ask(exported_run)
        note(f"checking the lists of {len(asked):,} users")
        ids = exported_run.items[ITEM_ID].to_pylist()
        topk = min(TOPK, exported_run.most_listed)
        scorer, listed = exported_run.scorer, exported_run.listed
        proof = prove(temporary, asked, exported_run.queries, scorer, listed, ids, topk)
        cold = exported_run.dataset.info.item_count - len(listed)
        skips = scorer.skipped is not None
        length = exported_run.model.length
        bonus = settings.cold_bonus
        exported = ExportResult(name, length, len(listed), cold, bonus, skips, proof, graphs, item_side)
        data = _record(run, plan, exported)
        write_json(temporary / "export.json", data)
        write_card(temporary, run, plan, exported, kind.needs)
        files = _write_checksums(temporary)
    return _summary(folder, plan, exported, {**data, "folder": str(folder), "files": files})


def _open_run_to_export(run: Path, plan: RunPlan, settings: ExportSettings) -> ExportedRun:
    dataset = load_dataset(plan.dataset)
    model = trained_model(run, plan, dataset, "cpu")
    queries = some_users(dataset)
    cold = plan.split(dataset).cold_items()
    scorer = scorer_of(model, queries, cold if settings.cold_items else None, settings.cold_bonus)
    everything = np.arange(1, plan.dataset.item_count + 1)
    listed = everything if settings.cold_items else np.flatnonzero(~cold) + 1
    items, users = item_table(plan.dataset, listed), user_table(plan.dataset)
    return ExportedRun(plan, dataset, model, queries, scorer, listed, items, users, settings.cold_bonus)


def _record(run: Path, plan: RunPlan, exported: ExportResult) -> dict[str, Any]:
    return {
        "stage": "export",
        "to": "serving",
        "run": run.name,
        **plan.record(),
        "kind": exported.kind,
        "length": exported.length,
        "listed_items": exported.listed,
        "cold_bonus": exported.cold_bonus,
        "check": exported.proof.record() | {"share": exported.proof.share},
        "graphs_differ_by": exported.graphs,
        "item_side": exported.item_side and exported.item_side.record(),
        "limits": exported.limits(),
    }


def _write_checksums(folder: Path) -> dict[str, int]:
    """Write SHA256SUMS; returns the size of every file in bytes, by name."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    lines = [f"{sha256_file(path)}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    return {path.name: path.stat().st_size for path in files}


def _summary(folder: Path, plan: RunPlan, exported: ExportResult, data: dict[str, Any]) -> Summary:
    rows = [(name, f"{size:,}") for name, size in data["files"].items()]
    notes = [exported.proof.describe(), *exported.limits(), f"files: {folder}"]
    records = [{"file": name, "bytes": size} for name, size in data["files"].items()]
    title = f"Exported {plan.title} on {plan.dataset.name}"
    return Summary(title, rows, data, ("file", "bytes"), notes, records=records)
