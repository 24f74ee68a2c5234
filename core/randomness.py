"""Torch's random numbers, for one training at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .signals import SECONDS_BETWEEN_LOOKS

if TYPE_CHECKING:
    import torch

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Keep torch's random numbers for the body alone, and leave them afterwards as they were.

    A process has one stream of them, from which dropout draws. Two trainings in threads of one notebook would
    draw from it in turn, and neither would come out the same a second time; so the second thread waits. And
    the notebook's own torch.manual_seed still holds after a training.
    """
    import torch

    while not _ONE_AT_A_TIME.acquire(timeout=SECONDS_BETWEEN_LOOKS):
        pass  # another thread trains
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        _ONE_AT_A_TIME.release()
