"""Settings of `tssr export`; nothing here imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from ...core.settings import Settings
from ...evaluation.settings import ColdBonus, refuse_lone_bonus


class ExportSettings(Settings):
    """What is written, and where to."""

    output: Path | None = Field(None, description="Folder to write; a new one, or an empty one.")
    to: Literal["serving", "recbole", "sequences"] = Field(
        "serving",
        description=(
            "What to write: a run as files that rank without tssr (serving), or a data set as RecBole's "
            "atomic files (recbole) or as lines of user item item … (sequences)."
        ),
    )
    run: str | None = Field(None, description="serving: the run. [default: the newest finished one]")
    dataset: str | None = Field(
        None, description="recbole, sequences: the data set; may be left out where there is just one."
    )
    cold_items: bool = Field(
        False,
        description="serving: also list items without a train action, scored by their content; without this "
        "option they are left out, as by tssr recommend.",
    )
    cold_bonus: ColdBonus = 0.0

    @model_validator(mode="after")
    def the_parts_fit(self) -> Self:
        """Refuse an export to nowhere, and options of the other kind of export."""
        if self.output is None:
            raise ValueError("--output DIR is missing: name the folder to write")
        if self.to == "serving" and self.dataset is not None:
            raise ValueError("--dataset belongs to --to recbole and --to sequences; a run knows its data set")
        if self.to != "serving" and (self.run is not None or self.cold_items):
            raise ValueError(f"--run and --cold-items belong to a run; --to {self.to} writes a data set")
        refuse_lone_bonus(self.cold_bonus, cold_items=self.cold_items)
        return self
