"""What `tssr train` trains, and on what; light enough to build the command line from."""

from __future__ import annotations

from pydantic import Field

from ...core.settings import Settings
from ...model.registry import MODELS
from ...model.settings import PRESETS


class SourceSettings(Settings):
    """What a model is trained on, and the defaults it starts from."""

    dataset: str | None = Field(None, description="Data set; may be left out where there is just one.")
    features: tuple[str, ...] = Field(
        (), description="Feature stores to read, by modality or folder name. [default: the only one]"
    )
    preset: str = Field(
        "paper",
        description=(
            f"Defaults to start from: {', '.join(PRESETS)}; the second is the released code's, the last what "
            "validation on MovieLens-1M, which is dense, chose."
        ),
    )


class RunSettings(SourceSettings):
    """What is trained, and on what."""

    model: str = Field("tssr", description=f"One of {', '.join(MODELS)}.")
    run: str | None = Field(None, description="Name of the run folder. [default: made from what is trained]")
