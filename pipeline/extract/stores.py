"""`tssr features`: the list of stores, and the check of their files against the recorded checksums."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.artifacts import sha256_file
from ...core.errors import ArtifactError, UsageError
from ...core.progress import progress
from ...core.schema import ITEMS_FILE, MANIFEST_FILE
from ...core.summary import Summary
from ...core.words import first_few, size_in_words
from ...core.workspace import WorkspaceFolders
from ...features.store import CURE, list_stores, read_manifest


def list_features(workspace: WorkspaceFolders, dataset: str | None) -> Summary:
    """The stores of one data set, or of all."""
    folders = dict.fromkeys(path.parent.parent for path in _manifests(workspace, dataset))
    stores = [(folder.name, info) for folder in folders for info in list_stores(folder)]
    rows = [
        (
            name,
            info.name,
            info.encoder,
            f"{info.dimension:,}",
            f"{info.items:,}",
            f"{info.missing:,}",
            size_in_words(info.bytes),
        )
        for name, info in stores
    ]
    data = [
        {
            "dataset": name,
            "store": info.name,
            "modality": info.modality,
            "encoder": info.encoder,
            "dimension": info.dimension,
            "items": info.items,
            "missing": info.missing,
            "bytes": info.bytes,
            "fingerprint": info.fingerprint,
        }
        for name, info in stores
    ]
    columns = ("data set", "store", "encoder", "dimension", "items", "missing", "size")
    whole = {"stage": "features", "stores": data}
    return Summary("Feature stores", rows, whole, columns=columns, records=data)


def verify_features(workspace: WorkspaceFolders, dataset: str | None) -> Summary:
    """Hash every file of the stores and compare with their manifests.

    Raises ArtifactError that names the damaged files.
    """
    whole: list[tuple[str, Path, dict[str, Any]]] = []
    damaged: list[Path] = []
    for path in _manifests(workspace, dataset):
        try:
            whole.append((path.parent.parent.name, path.parent, read_manifest(path.parent)))
        except ArtifactError:
            damaged.append(path)
    checked = []
    total = sum(part["bytes"] for _, _, manifest in whole for part in manifest["parts"])
    with progress("verify", total, "bytes") as advance:
        for name, folder, manifest in whole:
            checksums = {part["file"]: part["sha256"] for part in manifest["parts"]}
            checksums[ITEMS_FILE] = manifest["items_sha256"]
            for file, promised in checksums.items():
                path = folder / file
                if not path.is_file() or sha256_file(path) != promised:
                    damaged.append(path)
                advance(path.stat().st_size if path.is_file() else 0)
            checked.append((name, folder.name, len(checksums)))
    if damaged:
        listed = first_few(list(map(str, damaged)))
        raise ArtifactError(f"damaged or missing: {listed}; {CURE}, it makes only these again")
    return Summary(
        "All files are as they were written",
        [(name, store, f"{files:,}") for name, store, files in checked],
        {
            "stage": "features verify",
            "verified": [{"dataset": name, "store": store, "files": files} for name, store, files in checked],
        },
        columns=("data set", "store", "files"),
    )


def _manifests(workspace: WorkspaceFolders, dataset: str | None) -> list[Path]:
    """The manifests of one data set's stores, or of all. Raises UsageError where there is none."""
    folders = [workspace.features(dataset)] if dataset else (workspace.root / "features").glob("*")
    manifests = sorted(path for folder in folders for path in folder.glob(f"*/{MANIFEST_FILE}"))
    if not manifests:
        where = f"data set {dataset}" if dataset else str(workspace.root)
        raise UsageError(f"{where} has no features; make them with: tssr extract-features --modality image")
    return manifests
