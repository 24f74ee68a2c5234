"""The learning rate at each step: a function of the step alone, so a resumed run needs no further state."""

from __future__ import annotations

import math

from .settings import TrainSettings


def learning_rate(settings: TrainSettings, step: int, last_step: int) -> float:
    """The rate of step 0…last_step - 1: a line up over the warm-up, then constant or half a cosine down."""
    rate = settings.learning_rate
    if step < settings.warmup_steps:
        # Example: with 4 steps of warm-up the rates are ¼, ½, ¾ and 1 of the full one.
        return rate * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return rate
    # From 0 after the warm-up to nearly 1 at the last step; the cosine falls from 1
    # to -1, the rate to near 0.
    done = (step - settings.warmup_steps) / (last_step - settings.warmup_steps)
    return rate * (1 + math.cos(math.pi * done)) / 2
