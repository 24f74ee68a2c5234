"""Settings of `tssr download-images`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ...core.settings import Settings


class DownloadSettings(Settings):
    """How many requests are sent at once and in a second, and how large a picture may be."""

    raw: Path | None = Field(None, description="Folder of the raw dump.  [default: WORKSPACE/raw/FORMAT]")
    workers: int = Field(8, ge=1, le=64, description="Pictures fetched at the same time.")
    rate: float = Field(10.0, gt=0, description="Requests a second, over all workers.")
    retries: int = Field(4, ge=0, description="Further tries after a failure that may pass.")
    backoff: float = Field(1.0, ge=0, description="Seconds before the first further try; doubles each time.")
    timeout: float = Field(20.0, gt=0, description="Seconds that one picture may take.")
    largest: int = Field(16, ge=1, description="MiB that one picture may have.")
