"""The lengths of recommended lists (--topk): never longer than the number of items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ...core.dataset import DatasetInfo
from ...core.errors import UsageError
from ...core.settings import Settings

WithTopk = TypeVar("WithTopk", bound=Settings)


def with_fitting_topk(settings: WithTopk, dataset: DatasetInfo) -> WithTopk:
    """The settings with a `topk` (one length or several) that fits the catalogue.

    A length that the person typed is refused where it does not fit (UsageError). Of the default lengths 10
    and 20, those that fit are kept: for 15 items 10. Where none fits, the length is the number of items.
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
