"""The result of a stage on stdout: a table for a person, or JSON for a program."""

from __future__ import annotations

import json
import sys

import click

from ...core.summary import Summary

WIDTH_WHEN_PIPED = 200


def show(summary: Summary, *, as_json: bool) -> None:
    """Print a stage's result on stdout."""
    if as_json:
        click.echo(
            json.dumps({**summary.data, "cached": summary.cached}, ensure_ascii=False, allow_nan=False)
        )
        return
    from rich.console import Console
    from rich.table import Table

    # On a pipe rich assumes 80 columns and would wrap the lines of a table.
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDTH_WHEN_PIPED)
    console.print(summary.title, style="italic", soft_wrap=True)  # a table's own title wraps at its width
    table = Table(show_header=bool(summary.columns), box=None)
    width = max((len(row) for row in summary.rows), default=0)
    for index, column in enumerate(summary.columns or [""] * width):
        table.add_column(
            column, justify="left" if index == 0 or not summary.columns else "right", overflow="fold"
        )
    for row in summary.rows:
        table.add_row(*row)
    console.print(table)
    for line in summary.notes:
        console.print(line, soft_wrap=True)
    if summary.cached:
        again = " (--force does it again)" if "force" in click.get_current_context().params else ""
        console.print(f"Nothing changed since the last time, so nothing was done{again}.")
