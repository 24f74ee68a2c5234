"""Where runs that stand side by side were made by other versions or in another precision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...core.words import first_few


def run_differences(runs: Iterable[tuple[str, Mapping[str, Any]]]) -> str | None:
    """What differs in how `runs` (names, records of run.json) were made, as one line; None for nothing.

    Example: "the runs were not made alike: torch 2.12.0 (tssr), 2.13.0 (poprec, sasrec-id and 3 more)". The
    precision is compared among runs that were trained, as others have none.
    """
    named: dict[str, dict[str, dict[str, None]]] = {}  # what, its value, the runs' names in order
    for name, record in runs:
        made = {**record.get("versions", {}), "precision": (record.get("result") or {}).get("precision")}
        for what, value in made.items():
            if value is not None:
                named.setdefault(what, {}).setdefault(str(value), {})[name] = None
    differing = [
        f"{what} {', '.join(f'{value} ({first_few(list(names))})' for value, names in values.items())}"
        for what, values in named.items()
        if len(values) > 1
    ]
    return f"the runs were not made alike: {'; '.join(differing)}" if differing else None
