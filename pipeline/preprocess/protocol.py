"""The protocol of `preprocess`: its settings, and the filtering steps that follow from them, in order.

The steps are written against the interface `Engine`, which has two implementations (`local_engine.py`,
`spark_engine.py`). The order is the paper's: first items without content are dropped, then the core filter
runs to its fixed point, then users are drawn from those that are left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast

from pydantic import Field, field_validator, model_validator

from ...core.errors import DataError
from ...core.settings import Settings

if TYPE_CHECKING:
    import polars as pl

    from .tables import FinishedLog

Repeats = Literal["keep", "consecutive", "drop"]


class ProtocolSettings(Settings):
    """How actions are filtered, sampled and split between the raw dump and the tables."""

    min_actions: int = Field(
        5, ge=0, description="Drop users and items with fewer actions, to a fixed point; 0 turns it off."
    )
    repeats: Repeats = Field(
        "keep",
        description="A user's repeated actions on an item: keep all of them, merge consecutive ones, or keep "
        "the first only.",
    )
    keep_missing_content: bool = Field(
        False, description="Keep items that have no picture or text, where the data set has such content."
    )
    whole_catalogue: bool = Field(
        False,
        description="List also the items that have content and no action left, for evaluate and recommend "
        "with --cold-items.",
    )
    keep_last: int | None = Field(
        None,
        ge=3,
        description="Keep only the last N actions of each user.",
    )
    keep_last_when: Literal["before", "after"] = Field(
        "before", description="Whether --keep-last comes before or after the filter by --min-actions."
    )
    users: int | None = Field(
        None, ge=0, description="Draw N of the users that pass the filter, by --seed; 0 is all (hm: 100000)."
    )
    seed: int = Field(0, description="Seed of the draw of users.")
    split: Literal["leave-one-out", "time"] = Field(
        "leave-one-out",
        description="Test target: each user's last action, or each user's first action from --test-from on.",
    )
    test_from: str | None = Field(
        None, description="Where the test part begins: an ISO date, or a number as in the raw times."
    )
    validation_from: str | None = Field(
        None,
        description="Where the validation part begins.  [default: as long before --test-from as the log goes "
        "on after it]",
    )
    strict: bool = Field(False, description="Stop at the first malformed row instead of counting it.")

    @field_validator("test_from", "validation_from", mode="before")
    @classmethod
    def _time_of_a_config_file(cls, value: object) -> object:
        """TOML has dates and numbers of its own."""
        if isinstance(value, date):  # and datetime
            return value.isoformat()
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _times_belong_to_the_time_split(self) -> ProtocolSettings:
        if self.split == "time" and self.test_from is None:
            raise ValueError("--split time needs --test-from")
        if self.split != "time" and (self.test_from or self.validation_from):
            raise ValueError("--test-from and --validation-from belong to --split time")
        return self


EngineType = TypeVar("EngineType", bound="Engine")


class Engine(Protocol):
    """The actions in an engine's own form; after a step, use the engine it returns and not the old one."""

    def counts(self) -> tuple[int, int, int]:
        """Users, items and actions that are left."""

    def item_ids(self) -> pl.Series:
        """The ids of the items that are left, in the order of their bytes."""

    def user_ids(self) -> pl.Series:
        """The ids of the users that are left, in the order of their bytes."""

    def finished(self) -> FinishedLog:
        """The numbered users, items and actions, for writing."""

    def with_content(self: EngineType) -> EngineType:
        """Without actions on items that have no content."""

    def without_repeats(self: EngineType, *, consecutive: bool) -> EngineType:
        """Without a user's second and later actions on an item, or only those right after the same item."""

    def last(self: EngineType, count: int) -> EngineType:
        """The last `count` actions of each user."""

    def core(self: EngineType, minimum: int) -> EngineType:
        """The k-core for k = `minimum`."""

    def drawn(self: EngineType, count: int, seed: int) -> EngineType:
        """`count` users, those whose SHA-256 of "seed:user_id" is smallest; all where there are fewer."""


@dataclass(frozen=True)
class ProtocolStep:
    """One step: its name in the table of counts, what to try where no action is left, and its function."""

    name: str
    cure: str
    apply: Callable[[Engine], Engine]


def steps_of(
    settings: ProtocolSettings, *, has_content: bool, content_cure: str = "--keep-missing-content"
) -> list[ProtocolStep]:
    """The steps that `settings` ask for.

    `has_content` says whether the source knows of content at all; `content_cure` what to try where no item
    that was acted on has any.
    """
    steps = []
    if has_content and not settings.keep_missing_content:
        steps.append(
            ProtocolStep("items without content dropped", content_cure, lambda log: log.with_content())
        )
    if settings.repeats != "keep":
        consecutive = settings.repeats == "consecutive"
        name = "consecutive repeats merged" if consecutive else "repeats dropped"
        steps.append(
            ProtocolStep(name, "--repeats keep", lambda log: log.without_repeats(consecutive=consecutive))
        )
    last = []
    if settings.keep_last is not None:
        count = settings.keep_last
        last = [
            ProtocolStep(f"last {count} actions kept", "a larger --keep-last", lambda log: log.last(count))
        ]
    steps += last if settings.keep_last_when == "before" else []
    if settings.min_actions > 1:
        least = settings.min_actions
        steps.append(ProtocolStep(f"{least}-core", "a smaller --min-actions", lambda log: log.core(least)))
    steps += last if settings.keep_last_when == "after" else []
    if settings.users:
        drawn = settings.users
        steps.append(
            ProtocolStep(
                f"up to {drawn:,} users drawn",
                "a larger --users",
                lambda log: log.drawn(drawn, settings.seed),
            )
        )
    return steps


def run_steps(engine: EngineType, steps: Sequence[ProtocolStep]) -> tuple[EngineType, list[dict[str, Any]]]:
    """Run the steps in order; returns the remaining log, and users, items and actions after each step.

    Raises DataError that names the step that left nothing, what came before it, and what to try.
    """
    funnel = [_entry("read", engine)]
    for step in steps:
        engine = cast(EngineType, step.apply(engine))
        funnel.append(_entry(step.name, engine))
        if funnel[-1]["actions"] == 0:
            before = " → ".join(f"{entry['step']}: {entry['actions']:,} actions" for entry in funnel)
            # The cures of all steps so far that took actions away, this one's among them.
            dropping = (
                done.cure
                for done, (entry, later) in zip(steps, pairwise(funnel), strict=False)
                if entry["actions"] > later["actions"]
            )
            cures = " or ".join(dict.fromkeys(dropping))
            raise DataError(f"step '{step.name}' left nothing ({before}); try {cures}")
    return engine, funnel


def _entry(step: str, engine: Engine) -> dict[str, Any]:
    users, items, actions = engine.counts()
    return {"step": step, "users": users, "items": items, "actions": actions}
