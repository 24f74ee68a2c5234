"""The raw formats `preprocess` knows: their reader, their defaults, and their row in the paper's Table 2."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PaperRow:
    """A row of Table 2 (arXiv 2403.07623)."""

    users: int
    items: int
    actions: int
    modality: str


@dataclass(frozen=True)
class Format:
    """One raw format; the reader is imported when it is used."""

    reader: str
    """Module under `pipeline/raw/` and the class in it, as `module:Class`."""
    window: int = 10
    """How many actions the models look back, L."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Settings whose default is another one here, the paper's value for this set."""
    paper: PaperRow | None = None

    def open(self, root: Path) -> Any:
        """Import the reader and open the dump in `root`."""
        module, name = self.reader.split(":")
        return getattr(importlib.import_module(f".raw.{module}", __package__), name)(root)


FORMATS = {
    "hm": Format("hm:HM", defaults={"users": 100_000}, paper=PaperRow(100_000, 61_574, 692_413, "Image")),
    "custom": Format("custom:Custom"),
}
