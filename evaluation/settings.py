"""Settings of `tssr evaluate`; nothing here imports torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ..core.settings import Settings

Mask = Literal["none", "exempt", "hard"]
Backend = Literal["auto", "faiss", "torch"]
By = Literal["popularity", "history", "repeat", "tied"]

DEPTH = 100  # ranks of users are exact up to at least this one

ColdBonus = Annotated[
    float,
    Field(
        description="Added to the scores of items without a train action under --cold-items, since content "
        "alone is weak evidence and without a bonus few of them stand before what many took. On the scale of "
        "the model's own scores: where these are trained by a softmax, as tssr-rank's, 1 multiplies an "
        "item's odds by e; content-knn's are cosines, where 1 is more than all there is between two items."
    ),
]


def refuse_lone_bonus(cold_bonus: float, *, cold_items: bool) -> None:
    """Raise ValueError for a bonus that no item would get."""
    if cold_bonus and not cold_items:
        raise ValueError(f"--cold-bonus {cold_bonus:g} is for items ranked by --cold-items; give that too")


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
    cold_bonus: ColdBonus = 0.0
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

    @model_validator(mode="after")
    def someone_gets_the_bonus(self) -> Self:
        """Refuse --cold-bonus without --cold-items."""
        refuse_lone_bonus(self.cold_bonus, cold_items=self.cold_items)
        return self

    def deciding(self) -> dict[str, Any]:
        """The settings that decide the numbers, as plain JSON values, for the key of a measurement.

        Where to compute and what to show besides do not. Without --cold-items there is no bonus, and the key
        is that of measurements which are older than it.
        """
        others = {"device", "backend", "by"} | (set() if self.cold_items else {"cold_bonus"})
        return {name: value for name, value in self.record().items() if name not in others}

    @property
    def depth(self) -> int:
        """Ranks up to this one are kept exactly."""
        return max(DEPTH, *self.topk)
