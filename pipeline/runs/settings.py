"""Settings of `tssr train`: the model and the data it is trained on. Nothing here imports torch."""

from __future__ import annotations

from pydantic import Field

from ...core.settings import Settings
from ...model.presets import PRESETS
from ...model.registry import MODELS


class SourceSettings(Settings):
    """What a model is trained on, and the defaults it starts from."""

    dataset: str | None = Field(None, description="Data set; may be left out where there is just one.")
    features: tuple[str, ...] = Field(
        (), description="Feature stores to read, by modality or folder name. [default: the only one]"
    )
    preset: str = Field(
        "paper",
        description=(
            f"Set of defaults: {', '.join(PRESETS)}. paper: as in the paper; official: as in the released "
            "code; tuned: for sparse data, the settings that Amazon's Toys was measured with; dense: chosen "
            "on the validation split of MovieLens-1M."
        ),
    )


class RunSettings(SourceSettings):
    """What is trained, and on what."""

    model: str = Field("tssr", description=f"One of {', '.join(MODELS)}.")
    run: str | None = Field(None, description="Name of the run folder. [default: made from what is trained]")
