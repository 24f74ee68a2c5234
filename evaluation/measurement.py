"""Metrics together with the protocol (split, users, candidates, mask) under which they were measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ..core.errors import ArtifactError
from .settings import Mask

Targets = Literal["all", "warm", "cold"]


@dataclass(frozen=True)
class Protocol:
    """The conditions of a measurement: two numbers may be compared only where these are equal.

    `listed` is the length of the longest list where another tool gave lists and not scores of all items: a
    target that is not in its list is a miss, whatever rank it would have had.
    """

    split: str
    queries: int
    candidates: int
    mask: Mask
    window: int | None  # L of the mask `exempt`; None for the others
    ties: str = "mid-rank"
    targets: Targets = "all"  # which queries: by whether the target has a train action
    cold_items: Literal["as trained", "from content"] = "as trained"
    cold_bonus: float = 0.0  # added to the scores of cold items
    listed: int | None = None

    def describe(self, *, mask: bool = True) -> str:
        """The protocol in one line; `mask` is False for a table that has a column of masks."""
        window = f" (last {self.window} actions)" if self.window is not None else ""
        which = f" with {self.targets} targets" if self.targets != "all" else ""
        cold = f", cold items {self.cold_items}" if self.cold_items != "as trained" else ""
        cold += f" with a bonus of {self.cold_bonus:g}" if self.cold_bonus else ""
        masked = f"history mask {self.mask}{window}, " if mask else ""
        ranked = f"all {self.candidates:,} items ranked"
        if self.listed is not None:
            ranked = f"of {self.candidates:,} items the lists given, truncated at {self.listed:,}"
        return (
            f"{self.split} split, {self.queries:,} users{which}, {ranked}{cold}, {masked}ties by {self.ties}"
        )

    def asks_the_same_as(self, other: Protocol) -> bool:
        """Whether numbers under both may be compared: all is equal, except for the length of given lists."""
        return replace(self, listed=None) == replace(other, listed=None)


@dataclass(frozen=True)
class Measurement:
    """Metrics by name, and the protocol they were measured under."""

    protocol: Protocol
    metrics: dict[str, float]

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"protocol": asdict(self.protocol), "metrics": self.metrics}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Measurement:
        """Read what `record` wrote; raises ArtifactError where it was not written by this version."""
        try:
            return cls(Protocol(**record["protocol"]), dict(record["metrics"]))
        except (KeyError, TypeError):
            raise ArtifactError(
                "metrics of another version of tssr; measure again with: tssr evaluate --force"
            ) from None
