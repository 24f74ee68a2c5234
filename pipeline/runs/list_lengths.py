"""How long the lists are that a command measures or gives: never longer than the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ...core.dataset import DatasetInfo
from ...core.errors import UsageError
from ...core.settings import Settings

WithTopk = TypeVar("WithTopk", bound=Settings)


def with_fitting_topk(settings: WithTopk, dataset: DatasetInfo) -> WithTopk:
    """The settings with a `topk` (one length or several) that fits the catalogue.

    A person's own choice is refused where it does not fit (UsageError). Of the default, which nobody chose,
    only lengths that fit stay: of 10 and 20, for 15 items, 10; for 8 items, where none fits, it is 8.
    """
    topk: int | tuple[int, ...] = settings.topk  # type: ignore[attr-defined] # of whoever calls this
    lengths = topk if isinstance(topk, tuple) else (topk,)
    if "topk" in settings.model_fields_set:
        _refuse_too_long(lengths, dataset)
        return settings
    fitting = tuple(k for k in lengths if k <= dataset.item_count) or (dataset.item_count,)
    return settings.model_copy(update={"topk": fitting if isinstance(topk, tuple) else fitting[0]})


def _refuse_too_long(lengths: Sequence[int], dataset: DatasetInfo) -> None:
    for k in lengths:
        if k > dataset.item_count:
            raise UsageError(f"--topk {k}: {dataset.name} has only {dataset.item_count} items")
