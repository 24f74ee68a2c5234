"""Settings of `tssr tune`, and the space it searches; nothing here imports torch."""

from __future__ import annotations

from typing import Any

from pydantic import Field

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
}


class TuneSettings(SourceSettings):
    """The number of trials, and the values to search."""

    trials: int = Field(20, ge=1, description="Trainings in all, those of an earlier search included.")
    tried: dict[str, tuple[Any, ...]] = Field({}, description="Values to search instead of the stated space.")
