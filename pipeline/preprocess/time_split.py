"""The moments at which the parts of a global time split begin, and the number of queries in each part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...core.errors import DataError, UsageError
from ...core.schema import TIMESTAMP, USER
from ..raw.times import parse_times
from .protocol import ProtocolSettings


def split_record(settings: ProtocolSettings, interactions: Path) -> dict[str, Any]:
    """The split as the manifest keeps it; for a time split with its two moments and how many users it asks.

    `interactions` is the canonical table. Raises UsageError for a moment that is no time or out of order,
    DataError where nobody could be asked.
    """
    if settings.split == "leave-one-out":
        return {"kind": "leave-one-out"}
    table = pq.read_table(interactions, columns=[USER, TIMESTAMP])
    users, times = table[USER].to_numpy(), table[TIMESTAMP].to_numpy()
    first, last = int(times.min()), int(times.max())
    test_from = _moment(settings.test_from, "--test-from")
    if settings.validation_from is not None:
        validation_from = _moment(settings.validation_from, "--validation-from")
    else:
        # Example: the log ends at 100 and the test part begins at 91, so it has 10 moments. The 10 before it,
        # from 81 on, are the validation part.
        validation_from = test_from - max(last - test_from + 1, 1)
    if validation_from >= test_from:
        raise UsageError("--validation-from must lie before --test-from")
    asked = {
        "test": _asked(users, times, test_from, last + 1),
        "validation": _asked(users, times, validation_from, test_from),
    }
    for part, count in asked.items():
        if count == 0:
            option = "--test-from" if part == "test" else "--validation-from"
            raise DataError(
                f"{option}: no user acts both before and in the {part} part; the times of the log go from "
                f"{first} to {last}"
            )
    return {
        "kind": "time",
        "validation_from": validation_from,
        "test_from": test_from,
        "users_asked": asked,
    }


def _moment(text: str | None, option: str) -> int:
    times, wrong, _ = parse_times(pa.array([text]))
    if wrong[0]:
        raise UsageError(f"{option} {text}: write an ISO date such as 2020-09-15, or a whole number")
    return int(times[0])


def _asked(users: NDArray[np.int32], times: NDArray[np.int64], start: int, end: int) -> int:
    """Users with an action before `start` and one from `start` on but before `end`."""
    before = users[times < start]
    within = users[(times >= start) & (times < end)]
    return len(np.intersect1d(before, within))
