"""The log of a run: one JSON line for each validation and, with --tensorboard, the same for TensorBoard."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from ..core.artifacts import append_line, parse_json, write_text
from ..core.errors import UsageError, os_errors_as_tssr

LOG_FILE = "log.jsonl"
TENSORBOARD_FOLDER = "tensorboard"


def require_tensorboard() -> None:
    """Raise UsageError where the extra is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError("--tensorboard needs TensorBoard: pip install 'tssr[tracking]'")


def _step_of(line: str) -> float:
    """The step of a line of the log; infinity for a line that a kill cut off while it was written."""
    try:
        return int(parse_json(line)["step"])
    except ValueError:
        return float("inf")


class RunLog:
    """Appends lines to the log in `folder`; first deletes those after `step`, where the run resumes.

    A killed run may have logged validations after its last checkpoint; the resumed run writes them again.
    """

    def __init__(self, folder: Path, step: int, *, tensorboard: bool) -> None:
        self._path, self._curves_folder = folder / LOG_FILE, folder / TENSORBOARD_FOLDER
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        kept = [line for line in lines if _step_of(line) <= step]
        write_text(self._path, "".join(line + "\n" for line in kept))
        self._curves = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            drawn = self._curves_folder.exists()
            with os_errors_as_tssr("write the curves", self._curves_folder):
                self._curves = SummaryWriter(str(self._curves_folder), purge_step=step + 1)
            for line in [] if drawn else kept:
                self._draw(parse_json(line))

    def write(self, line: Mapping[str, float]) -> None:
        """Append one validation's numbers; `step` is among them."""
        append_line(self._path, json.dumps(line))
        self._draw(line)

    def _draw(self, line: Mapping[str, float]) -> None:
        """Add one validation's numbers to TensorBoard's curves, where these are wanted."""
        if self._curves is None:
            return
        with os_errors_as_tssr("write the curves", self._curves_folder):
            for name, value in line.items():
                if name != "step":
                    self._curves.add_scalar(name, value, int(line["step"]))
            self._curves.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._curves is not None:
            with os_errors_as_tssr("write the curves", self._curves_folder):
                self._curves.close()


def draw_finished(folder: Path, last_step: int) -> bool:
    """Write TensorBoard's curves of a finished run from its log; False where they are there already."""
    if (folder / TENSORBOARD_FOLDER).exists() or not (folder / LOG_FILE).exists():
        return False
    require_tensorboard()
    with RunLog(folder, last_step, tensorboard=True):
        return True
