"""Settings of `tssr tune`, and the space it searches; nothing here imports torch."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ...model.registry import model_spec
from ..runs.settings import SourceSettings

# What is searched unless --try says otherwise; a model searches those of its options that are here.
SPACE: dict[str, tuple[Any, ...]] = {
    "learning_rate": (1e-4, 3e-4, 1e-3, 3e-3),
    "dropout": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    "l2": (0.0, 1e-5, 1e-4, 1e-3, 1e-2),
    "neighbours": (20, 50, 100, 200),
    "shrink": (0.0, 10.0, 50.0, 100.0),
    "content_scale": ("raw", "standard", "whiten"),
    "lambda_view": (0.0, 0.03, 0.1, 0.3),
    "lambda_user": (0.0, 0.01, 0.03, 0.1, 0.3, 1.0),
    "lambda_item": (0.0, 0.01, 0.03, 0.1, 0.3, 1.0),
    "candidates": (50, 100, 200),
}
_OF_OWN_RATE = (0.25, 0.5, 1.0, 2.0)  # times the learning rate of a model that has a default of its own


def space_of(model: str) -> dict[str, tuple[Any, ...]]:
    """What is searched of a model.

    A ranker's default learning rate is 2e-3, and at 1e-4 it would learn for hours; so rates around its own
    are tried: 5e-4, 1e-3, 2e-3 and 4e-3.
    """
    rate = model_spec(model).defaults.get("learning_rate")
    return (
        SPACE if rate is None else {**SPACE, "learning_rate": tuple(rate * times for times in _OF_OWN_RATE)}
    )


class TuneSettings(SourceSettings):
    """The number of trials, and the values to search."""

    trials: int = Field(
        20,
        ge=1,
        description="Trainings in all, those of an earlier search included; fewer where all combinations are "
        "trained.",
    )
    tried: dict[str, tuple[Any, ...]] = Field({}, description="Values to search instead of the stated space.")
