"""Settings of all commands that read raw files; nothing here imports NumPy or Arrow."""

from __future__ import annotations

from pydantic import Field, field_validator

from ...core.errors import UsageError
from ...core.settings import Settings

UTF_8 = "utf-8"


class RawFileSettings(Settings):
    """How text files are decoded, and how much of a file may be lost."""

    encoding: str = Field(
        UTF_8, description="Encoding of text files: utf-8, latin-1, cp1252 (Windows), utf-16, …"
    )
    allow_loss: bool = Field(
        False, description="Go on where more than 5 % of a file's rows are dropped for one reason."
    )

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, value: str) -> str:
        try:
            "".encode(value)
        except (LookupError, ValueError):
            raise UsageError(
                f"--encoding {value}: no text encoding of that name is known; for example utf-8, latin-1, "
                "cp1252 (Windows), utf-16"
            ) from None
        return value
