"""Where the parts of a global time split begin, and whether each of them has something to ask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from ..core.errors import DataError, UsageError
from .action_log import ActionLog, Int64
from .protocol import ProtocolSettings
from .raw.times import parse_times


def split_record(settings: ProtocolSettings, log: ActionLog) -> dict[str, Any]:
    """The split as the manifest keeps it; for a time split with its two moments as they apply to `log`.

    Raises UsageError for a moment that is no time or out of order, DataError where nobody could be asked.
    """
    if settings.split == "leave-one-out":
        return {"kind": "leave-one-out"}
    test_from = _moment(settings.test_from, "--test-from")
    if settings.validation_from is not None:
        validation_from = _moment(settings.validation_from, "--validation-from")
    else:
        validation_from = test_from - max(int(log.timestamps.max()) - test_from + 1, 1)
    if validation_from >= test_from:
        raise UsageError("--validation-from must lie before --test-from")
    asked = {
        "test": _asked(log, test_from, int(log.timestamps.max()) + 1),
        "validation": _asked(log, validation_from, test_from),
    }
    for part, users in asked.items():
        if users == 0:
            option = "--test-from" if part == "test" else "--validation-from"
            raise DataError(
                f"{option}: no user acts both before and in the {part} part; the times of the log go from "
                f"{log.timestamps.min()} to {log.timestamps.max()}"
            )
    return {
        "kind": "time",
        "validation_from": validation_from,
        "test_from": test_from,
        "users_asked": asked,
    }


def _moment(text: str | None, option: str) -> int:
    times, wrong = parse_times(pa.array([text]))
    if wrong[0]:
        raise UsageError(f"{option} {text}: write an ISO date such as 2020-09-15, or a whole number")
    return int(times[0])


def _asked(log: ActionLog, start: int, end: int) -> int:
    """Users with an action before `start` and one from `start` on but before `end`."""

    def users(when: Int64) -> Int64:
        return np.bincount(log.users[when], minlength=len(log.user_ids))

    before = users(np.flatnonzero(log.timestamps < start))
    within = users(np.flatnonzero((log.timestamps >= start) & (log.timestamps < end)))
    return int(np.count_nonzero((before > 0) & (within > 0)))
