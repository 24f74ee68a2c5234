"""Settings of `tssr compare`; nothing here imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from ...evaluation.settings import By, Mask
from ..runs.settings import SourceSettings

ALL = "all"


class CompareSettings(SourceSettings):
    """Which models are compared, over how many seeds, and what the table shows."""

    models: tuple[str, ...] = Field(
        (ALL,),
        min_length=1,
        description="Models to compare, in the table's order, or all; also variants from --config.",
    )
    lists: tuple[Path, ...] = Field(
        (),
        description="Files of other systems' lists or scores to compare as well, each under its file's name; "
        "see tssr evaluate --lists.",
    )
    seeds: int = Field(3, ge=1, description="Train every model with this many seeds, from --seed on.")
    tried: dict[str, tuple[Any, ...]] = Field({}, description="Values of options to choose among.")
    focus: str | None = Field(
        None,
        description="Model tested against every other one; its gain over the best other is shown. "
        "[default: tssr, where it is listed]",
    )
    reference: str | None = Field(
        None, description="Model over which gains are shown. [default: sasrec-id, where it is listed]"
    )
    topk: tuple[int, ...] = Field((10, 20), min_length=1, description="List lengths of Recall and NDCG.")
    mask: Mask = Field("none", description="History mask that the table shows; see tssr evaluate.")
    by: By | None = Field(None, description="Also show the users apart; see tssr evaluate --by.")
    jobs: int = Field(1, ge=1, description="Train so many runs at once, sharing the processor cores.")
    name: str | None = Field(
        None, description="Name of the files in the folder comparisons. [default: made from what is compared]"
    )
