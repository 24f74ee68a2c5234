"""Settings of `tssr reproduce`; nothing here imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from ...core.settings import Settings
from ...evaluation.settings import Mask

PaperSet = Literal["hm", "yelp", "phone", "toy", "mind"]


class ReproduceSettings(Settings):
    """The data set on which a table or figure of the paper is reproduced, and the number of seeds."""

    dataset: str | None = Field(None, description="Data set; may be left out where there is just one.")
    features: tuple[str, ...] = Field(
        (), description="Feature stores to read, by modality or folder name. [default: the only one]"
    )
    beside: PaperSet | None = Field(
        None,
        description="The paper's data set to stand beside. [default: the one of the same name, else toy]",
    )
    seeds: int = Field(3, ge=1, description="Train every model with this many seeds.")
    quick: bool = Field(
        False, description="One seed, two epochs and narrow models: to see that all works, never as evidence."
    )
    mask: Mask = Field(
        "exempt",
        description="History mask of the numbers, see tssr evaluate; exempt is the mask of the paper's code.",
    )
    jobs: int = Field(1, ge=1, description="Train so many runs at once, sharing the processor cores.")
    raw: Path | None = Field(None, description="published: folder that holds the file the entry names.")
