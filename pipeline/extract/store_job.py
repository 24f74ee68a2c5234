"""What is asked of one feature store, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...core.errors import DataError
from ...core.torchrun import World
from ...features.content import source_stamp
from ...features.modality import MODALITIES, EncoderChoice, Modality
from ...features.parts import count_reasons
from ...features.settings import FeatureSettings
from ...features.store import StoreInfo


@dataclass(frozen=True)
class StoreJob:
    """One store to make: the items of a data set, a modality and an encoder."""

    choice: EncoderChoice
    settings: FeatureSettings
    items: pa.Table
    catalogue: str  # the hash of the file that `items` were read from
    raw: Path
    world: World

    @property
    def modality(self) -> Modality:
        """What kind of content it is."""
        return MODALITIES[self.choice.modality]

    def request(self) -> dict[str, Any]:
        """The choices and the state of local files; stores made for equal requests are equal."""
        files = {name: source_stamp(value) for name, value in self.choice.sources().items()}
        return {**self.choice.record(), "dtype": self.settings.dtype, "files": files}


@dataclass(frozen=True)
class StoreOutcome:
    """The outcome for one store: its manifest, and how much was encoded."""

    info: StoreInfo
    missing: dict[str, int]
    encoded: int
    seconds: float
    cached: bool


def refuse_nameless(job: StoreJob) -> None:
    """Raise DataError where the table of items names no content of the modality at all: no text, no path."""
    column = job.items[job.modality.column]
    if column.null_count == len(column):
        refuse_nothing(job, count_reasons(job.modality.scan(job.items, job.raw, None)))


def refuse_nothing(job: StoreJob, missing: dict[str, int]) -> None:
    """Raise DataError that says why, by the number of items for each reason, none has usable content."""
    cure = job.modality.cure(job.raw, missing)
    raise DataError(
        f"none of the {len(job.items):,} items has usable {job.modality.noun} ({reasons_in_words(missing)}); "
        f"{cure}"
    )


def reasons_in_words(counts: dict[str, int]) -> str:
    """Counts by reason, in words."""
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
