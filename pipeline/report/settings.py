"""Settings of `tssr report`; nothing here imports torch."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ...core.settings import Settings


class ReportSettings(Settings):
    """Which runs the report shows, and where it is written."""

    run: tuple[str, ...] = Field(
        (),
        description="Runs to show, side by side. [default: the newest run of each model on the data set of "
        "the newest run]",
    )
    comparison: str | None = Field(
        None, description="Show a comparison's models and tests, by the name of its files."
    )
    output: Path | None = Field(
        None, description="The file to write. [default: report.html in the workspace]"
    )
    users: int = Field(200, ge=0, description="Test users to browse, drawn by lot.")
    pictures: bool = Field(True, description="Put small pictures of the items into the file.")
    seed: int = Field(1, ge=0, description="Seed of the users drawn and of the item map.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
