"""The tables that show metrics.json: accuracy by mask, list metrics, and slices where --by asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.summary import Summary
from ...evaluation.measurement import Measurement
from ...evaluation.metrics import LIST_METRICS, RANK_METRICS, metric_title
from ...evaluation.settings import EvaluateSettings
from ...evaluation.slices import TITLES, slices_of
from ...evaluation.tables import aligned


def metrics_summary(
    file: Path, record: dict[str, Any], settings: EvaluateSettings, notes: list[str], *, cached: bool
) -> Summary:
    """The result of a measurement that was written to `file`; `notes` are lines to put below the tables."""
    names = [f"{metric}@{k}" for metric in RANK_METRICS for k in settings.topk]
    columns = ["mask", *map(metric_title, names)]
    shown = [*record["measurements"], *(record["by_target"] if settings.cold_items else [])]
    rows = [(m["protocol"]["mask"], *(f"{m['metrics'][name]:.4f}" for name in names)) for m in shown]
    if settings.cold_items:
        columns = ["targets", "users", *columns]
        asked = [(m["protocol"]["targets"], f"{m['protocol']['queries']:,}") for m in shown]
        rows = [(*group, *row) for group, row in zip(asked, rows, strict=True)]
    protocol = Measurement.from_record(record["measurements"][0]).protocol
    lines = [f"{protocol.describe(mask=False)}; {file}"]
    if record["cold"]["items"]:
        lines.append(_cold_note(record["cold"], settings))
    lines += [*notes, *_lists_table(record, settings.topk[0]), *_slices_table(record, settings)]
    data = {"stage": "evaluate", "folder": str(file.parent), **record}
    title = f"{record['title']} on {record['dataset']}"
    return Summary(title, rows, data, columns, notes=lines, cached=cached)


def _lists_table(record: Mapping[str, Any], k: int) -> list[str]:
    """The list metrics at length k, a line for each: a dozen beside one another is wider than a screen."""
    measurements = record["measurements"]
    names = [
        name
        for name in measurements[0]["metrics"]
        if name.endswith(f"@{k}") and name.partition("@")[0].partition("[")[0] in LIST_METRICS
    ]
    rows = [[metric_title(name), *(f"{m['metrics'][name]:.4g}" for m in measurements)] for name in names]
    masks = [m["protocol"]["mask"] for m in measurements]
    return ["What is in the lists:", *aligned([["mask", *masks], *rows])] if names else []


def _slices_table(record: Mapping[str, Any], settings: EvaluateSettings) -> list[str]:
    """One line for each slice and mask, of the slicing that --by names."""
    if settings.by is None:
        return []
    names = [f"{metric}@{k}" for metric in RANK_METRICS for k in settings.topk]
    rows = [
        [entry["slice"], f"{entry['queries']:,}", mask, *(f"{entry['metrics'][name]:.4f}" for name in names)]
        for mask in settings.mask
        for entry in slices_of(record, settings.by, mask)
    ]
    columns = ["targets", "users", "mask", *map(metric_title, names)]
    return [f"{TITLES[settings.by]}:", *aligned([columns, *rows])]


def _cold_note(cold: Mapping[str, int], settings: EvaluateSettings) -> str:
    hint = " (--cold-items scores them from content)" if cold.get("rankable") else ""
    bonus = f", plus {settings.cold_bonus:g}" if settings.cold_bonus else ""
    how = (
        f"from content alone{bonus}"
        if settings.cold_items
        else f"as the model scores items that it has not learned about{hint}"
    )
    whose = f"{cold['items']:,} items, the targets of {cold['targets']:,} users"
    return f"{whose}, have no train action and are scored {how}"
