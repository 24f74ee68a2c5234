"""Settings of `tssr recommend`; nothing here imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from ...core.settings import Settings, Verbatim
from ...evaluation.settings import Backend, ColdBonus, refuse_lone_bonus
from ..raw.settings import RawFileSettings


class ListSettings(Settings):
    """How lists are made."""

    topk: int = Field(10, ge=1, description="Items in each list.")
    mask: Literal["none", "hard"] = Field(
        "none", description="none: items of the history may be recommended again; hard: they may not."
    )
    cold_items: bool = Field(
        False,
        description="Also recommend items without a train action, scored by their content; without this "
        "option they are left out.",
    )
    cold_bonus: ColdBonus = 0.0
    strict: bool = Field(
        False, description="Stop at an item or row that cannot be used instead of counting it."
    )
    backend: Backend = Field(
        "auto", description="Search backend: faiss, torch, or auto (FAISS on the CPU, torch on a GPU)."
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")

    @model_validator(mode="after")
    def someone_gets_the_bonus(self) -> Self:
        """Refuse --cold-bonus without --cold-items."""
        refuse_lone_bonus(self.cold_bonus, cold_items=self.cold_items)
        return self


class RecommendSettings(ListSettings, RawFileSettings):
    """Whom to recommend to, and how."""

    history: Path | None = Field(
        None,
        description=(
            "File of histories, of users in the data set or not: a table of actions (.csv, .tsv, .jsonl, "
            ".parquet), or text with one user a line: item item …, oldest first; - reads stdin."
        ),
    )
    user: tuple[Verbatim, ...] = Field(
        (),
        description="Users of the data set, by id; all actions count.  "
        "[default: all users, without --history]",
    )
    map: str | None = Field(
        None,
        description="Columns of a table of actions, as user=…,item=…,time=….  "
        "[default: user=user_id,item=item_id]",
    )
    output: Path | None = Field(
        None, description="Write the lists to this file: .csv, .jsonl or .parquet, one row for each item."
    )

    @model_validator(mode="after")
    def one_way_to_name_users(self) -> Self:
        """Refuse both ways to say whom to recommend to; neither means all users of the data set."""
        if self.history is not None and self.user:
            raise ValueError("give --history FILE or --user ID, not both")
        return self
