"""The list of readings of the test split in a run's folder: when, by which command, and of which weights.

A run that is trained again keeps the list, because what one has seen of the test split stays seen.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...core.artifacts import append_line, parse_json
from ...core.errors import ArtifactError
from ...core.version import __version__
from ...core.workspace import RUN_FILE, read_run

READINGS_FILE = "test-readings.jsonl"  # one line for each time that the test split was read
REPORT = "tssr report"  # how a report calls itself there


def record_test_reading(folder: Path, reader: str) -> None:
    """Append to a list in `folder` that the test split is read now, by which command and of which weights.

    The weights are given by their hash; lists of another system have none. Showing an earlier measurement
    again reads nothing and is not listed.
    """
    line: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": reader,
        "tssr": __version__,
    }
    weights = read_run(folder)["result"].get("weights_sha256") if (folder / RUN_FILE).exists() else None
    if weights is not None:
        line["weights"] = weights
    append_line(folder / READINGS_FILE, json.dumps(line))


def readings_words(folder: Path) -> str | None:
    """How often the run was measured on the test split, as a sentence; None where that was at most once.

    A report reads the split to show the lists of some users and measures nothing, so it does not count, and
    a second report on the same runs is the same as the first.
    Raises ArtifactError where the list is damaged.
    """
    path = folder / READINGS_FILE
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        readings = [parse_json(line) for line in text.splitlines()]
        measured = [reading for reading in readings if reading["by"] != REPORT]
        weights = {reading.get("weights") for reading in measured} - {None}
    except (ValueError, LookupError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); delete the line that is no JSON object") from None
    if len(measured) < 2:
        return None
    of = f", with {len(weights)} different weights" if len(weights) > 1 else ""
    return f"this run was measured on the test split {len(measured)} times{of} ({READINGS_FILE})"
