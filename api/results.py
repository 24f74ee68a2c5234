"""The results of stages: the table that the command prints, and its numbers as a Polars frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import PurePath
from typing import Any, get_origin

import numpy as np
import polars as pl

from ..core.summary import Summary
from ..evaluation.tables import aligned


class Result:
    """The outcome of a stage: `data` is what its command prints with --json."""

    def __init__(self, summary: Summary) -> None:
        self._summary = summary

    @property
    def data(self) -> Mapping[str, Any]:
        """Plain values: what the command prints with --json."""
        return self._summary.data

    @property
    def cached(self) -> bool:
        """Whether nothing had changed since the last time, so that nothing was done."""
        return self._summary.cached

    @property
    def frame(self) -> pl.DataFrame:
        """A row for each of the table that the command prints, numbers as numbers.

        The columns are named in docs/python.md. Of a command that prints no numbers it is the table of texts.
        """
        if self._summary.records:
            return pl.DataFrame(self._summary.records, infer_schema_length=None, strict=False)
        rows, columns = self._summary.rows, self._summary.columns
        names = list(columns) or [f"column {place + 1}" for place in range(max(map(len, rows), default=0))]
        return pl.DataFrame([list(row) for row in rows], schema=dict.fromkeys(names, pl.String), orient="row")

    def __repr__(self) -> str:
        head = [self._summary.columns] if self._summary.columns else []
        table = aligned([*head, *self._summary.rows])
        return "\n".join([self._summary.title, *("  " + line for line in table), *self._summary.notes])

    def _repr_html_(self) -> str:
        return html_table(self._summary.title, self._summary.columns, self._summary.rows, self._summary.notes)


def measured_frame(data: Mapping[str, Any], about: Mapping[str, Any]) -> pl.DataFrame:
    """What a measurement found, a row a history mask: `about`, the protocol, then the metrics in 0…1."""
    rows = [{**about, **one["protocol"], **one["metrics"]} for one in data["measurements"]]
    return pl.DataFrame(rows, infer_schema_length=None)


def html_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()
) -> str:
    """A table as a notebook shows it."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    said = "".join(f"<div>{escape(line)}</div>" for line in notes)
    return (
        f"<div><b>{escape(title)}</b><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"{said}</div>"
    )


def spread(settings: Mapping[str, Any], *models: type[Any]) -> dict[str, Any]:
    """Settings as the settings classes take them: a setting of several values is a tuple.

    One value becomes a tuple of one; a range, an array, a column or a generator becomes its values.
    """
    fields = {name: field for model in models for name, field in model.model_fields.items()}
    return {
        name: as_tuple(value) if name in fields and takes_many(fields[name]) else value
        for name, value in settings.items()
    }


def takes_many(field: Any) -> bool:
    """Whether a settings field is a list of values."""
    return get_origin(field.annotation) is tuple


def as_tuple(value: Any) -> Any:
    """One value, or several of whatever kind, as a tuple; None, a truth value and a mapping stay."""
    if isinstance(value, str | int | float | np.generic | PurePath) and not isinstance(
        value, bool | np.bool_
    ):
        return (value,)
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, Mapping) else value
