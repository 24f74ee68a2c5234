"""The manifest of a data set: its input files, its settings, the counts after each step, and its tables.

By it, `preprocess` decides whether making the data set again would change anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.artifacts import fingerprint, read_json, sha256_file
from ...core.errors import ArtifactError
from ...core.schema import INTERACTIONS_FILE, ITEMS_FILE, MANIFEST_FILE, USERS_FILE
from ..raw.files import RawFile
from ..raw.pictures import Pictures
from .formats import PaperRow

VERSION = 2  # raised when the same input and settings give other tables


def input_records(files: Sequence[RawFile]) -> list[dict[str, Any]]:
    """What identifies each input: its path, what was read of an archive, size, time of change and hash."""
    return [
        {
            "file": path,
            "members": [file.member for file in files if file.member and str(file.path.absolute()) == path],
            "bytes": Path(path).stat().st_size,
            "modified_ns": Path(path).stat().st_mtime_ns,
            "sha256": sha256_file(Path(path)),
        }
        for path in dict.fromkeys(str(file.path.absolute()) for file in files)
    ]


def _unchanged(record: Mapping[str, Any]) -> bool:
    path = Path(record["file"])
    if not path.is_file() or path.stat().st_size != record["bytes"]:
        return False
    return bool(path.stat().st_mtime_ns == record["modified_ns"]) or sha256_file(path) == record["sha256"]


def still_valid(folder: Path, request: Mapping[str, Any]) -> dict[str, Any] | None:
    """The manifest in `folder` if its data set is the one requested and its tables are intact, else None.

    It is None too if an input has changed, or if a file has come or gone in a folder that is searched for
    inputs.
    """
    try:
        manifest = read_json(folder / MANIFEST_FILE, cure="")
        inputs, pictures = manifest["inputs"], manifest["inputs"]["pictures"]
        same = (
            manifest["request"] == request
            and inputs["beside"] == names_in(inputs["beside"]["folders"])
            and all(_unchanged(record) for record in inputs["files"])
            and Pictures(Path(manifest["raw"])).look_again(pictures["folders"]) == pictures
            and table_records(folder) == manifest["tables"]
        )
    except (ArtifactError, KeyError, TypeError, OSError):
        return None
    return manifest if same else None


def names_in(folders: Iterable[str]) -> dict[str, Any]:
    """A hash of the file names in some folders, because a new part or archive would be read too."""
    digest, count = hashlib.sha256(), 0
    listed = sorted(set(folders))
    for folder in map(Path, listed):
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        count += len(names)
        digest.update("\0".join([str(folder), *names, "\n"]).encode("utf-8", errors="surrogateescape"))
    return {"folders": listed, "names": count, "sha256": digest.hexdigest()}


def table_row(counts: Mapping[str, int]) -> dict[str, float]:
    """A data set's row as in the paper's Table 2."""
    users, items, actions = counts["users"], counts["items"], counts["actions"]
    return {
        "users": users,
        "items": items,
        "actions": actions,
        "actions_per_item": round(actions / items, 1),
        "actions_per_user": round(actions / users, 1),
    }


def paper_row(paper: PaperRow | None) -> dict[str, Any] | None:
    """The paper's own row, or None where the paper does not have the set."""
    if paper is None:
        return None
    counts = {"users": paper.users, "items": paper.items, "actions": paper.actions}
    return {**table_row(counts), "modality": paper.modality}


def table_records(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and hash of the tables in `folder`."""
    return {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)}
        for name in (INTERACTIONS_FILE, ITEMS_FILE, USERS_FILE)
    }


def actions_fingerprint(
    tables: Mapping[str, Mapping[str, Any]], counts: Mapping[str, int], split: Mapping[str, Any]
) -> str:
    """The hash by which runs identify a data set: of the actions, the number of items, and the split.

    Content is left out on purpose. A picture or a title that comes later changes the table of items, but
    not what a model of ids was trained on; one that reads content has its feature stores in its record too.
    """
    actions = tables[INTERACTIONS_FILE]["sha256"]
    return fingerprint({"actions": actions, "items": counts["items"], "split": split})


def funnel_rows(funnel: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The funnel as a table for a person."""
    return [
        [str(entry["step"]), *(f"{entry[unit]:,}" for unit in ("users", "items", "actions"))]
        for entry in funnel
    ]
