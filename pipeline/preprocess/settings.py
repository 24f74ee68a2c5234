"""Settings of `tssr preprocess`: those of the protocol, and the places of the raw files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from ...core.errors import UsageError
from ...core.settings import option_name
from ..raw.settings import RawFileSettings
from .protocol import ProtocolSettings


class PreprocessSettings(ProtocolSettings, RawFileSettings):
    """The protocol and the raw files."""

    raw: Path | None = Field(
        None, description="Folder of the raw dump (custom: of the pictures).  [default: WORKSPACE/raw/FORMAT]"
    )
    engine: Literal["local", "spark"] = Field(
        "local",
        description="What runs the steps: this machine, or Apache Spark (the extra tssr[spark]).",
    )
    spark_master: str = Field("local[*]", description="Master of the Spark cluster, for --engine spark.")
    interactions: Path | None = Field(
        None, description="custom: the actions, as .csv, .tsv, .jsonl or .parquet (text also .gz)."
    )
    items: Path | None = Field(None, description="custom: the items, in the same formats.")
    map: str | None = Field(
        None, description="custom: names of the columns, as user=…,item=…,time=…,text=…+…,image=…"
    )
    format: Literal["rows", "sequences"] = Field(
        "rows", description="custom: rows of actions, or one user a line: user item item …, oldest first."
    )

    def located(self) -> Self:
        """The same settings with paths that mean the same from any folder."""
        paths = {name: getattr(self, name) for name in ("raw", "interactions", "items")}
        return self.model_copy(update={name: path.absolute() for name, path in paths.items() if path})

    def protocol(self) -> dict[str, Any]:
        """The settings of the protocol alone, as plain JSON values."""
        return {name: value for name, value in self.record().items() if name in ProtocolSettings.model_fields}

    def refuse_custom_options(self, format_name: str) -> None:
        """Raise UsageError where an option of custom is given for another format."""
        for name in ("interactions", "items", "map", "format"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise UsageError(f"{option_name(name)} belongs to custom; {format_name} has a fixed layout")
