"""Settings of `tssr evaluate`; nothing here imports torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from ..core.settings import Settings

Mask = Literal["none", "exempt", "hard"]
Backend = Literal["auto", "faiss", "torch"]
By = Literal["popularity", "history", "repeat", "tied"]

DEPTH = 100  # ranks of users are exact up to at least this one


class EvaluateSettings(Settings):
    """What to measure and how to rank; the defaults are the headline protocol."""

    topk: tuple[int, ...] = Field(
        (10, 20), min_length=1, description="Measure Recall, NDCG and MRR at these list lengths."
    )
    mask: tuple[Mask, ...] = Field(
        ("none", "exempt", "hard"),
        min_length=1,
        description=(
            "Items of the history that are not ranked. none: rank all items (the headline); exempt: leave "
            "out the window's items except the target, as the official code; hard: the whole history."
        ),
    )
    split: Literal["test", "validation"] = Field("test", description="Which held-out actions to predict.")
    cold_items: bool = Field(
        False,
        description="Score items without a train action from their content alone, and report the users whose "
        "target is such an item separately.",
    )
    by: By | None = Field(
        None,
        description="Also show metrics for groups of users: by how often the target was taken in training, "
        "by the length of the history, by whether the user had taken the target before, or by whether it "
        "has the same time as the action before it.",
    )
    backend: Backend = Field(
        "auto", description="Search backend: faiss, torch, or auto (FAISS on the CPU, torch on a GPU)."
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")

    @field_validator("topk")
    @classmethod
    def at_least_one(cls, topk: tuple[int, ...]) -> tuple[int, ...]:
        """Refuse a list of no items."""
        if min(topk) < 1:
            raise ValueError("list lengths should be 1 or more")
        return topk

    @property
    def depth(self) -> int:
        """Ranks up to this one are kept exactly."""
        return max(DEPTH, *self.topk)
