"""What a stage reports at its end: a short table for a person, one JSON object for a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Summary:
    """The result of one stage.

    `rows` are shown as a table under `columns` (no header where `columns` is empty), `notes` as lines below;
    `data` is the JSON object. `cached` says that nothing had changed and nothing was done. `records` are the
    table's rows for a program, where numbers are numbers; empty where a stage has no table of numbers.
    """

    title: str
    rows: Sequence[Sequence[str]]
    data: Mapping[str, Any]
    columns: Sequence[str] = ()
    notes: Sequence[str] = ()
    cached: bool = False
    records: Sequence[Mapping[str, object]] = ()
