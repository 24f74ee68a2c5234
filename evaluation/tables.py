"""Tables of text as Markdown, LaTeX and CSV. A cell between ** is bold."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

BOLD = "**{}**"
_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "\N{EN DASH}": "--",
}


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A LaTeX tabular of the same layout, for the package booktabs."""
    lines = [f"{' & '.join(map(_latex_cell, line))} \\\\\n" for line in (columns, *rows)]
    return (
        f"\\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}\n"
        f"\\toprule\n{lines[0]}\\midrule\n{''.join(lines[1:])}\\bottomrule\n\\end{{tabular}}\n"
    )


def _latex_cell(cell: str) -> str:
    """Escape a cell's text.

    >>> print(_latex_cell("**+5.0% ± 1**"), _latex_cell("a_b"))
    \\textbf{+5.0\\% $\\pm$ 1} a\\_b
    """
    bold = len(cell) > 4 and cell.startswith("**") and cell.endswith("**")
    text = "".join(_LATEX.get(sign, sign) for sign in (cell[2:-2] if bold else cell))
    return f"\\textbf{{{text}}}" if bold else text


def csv_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Comma-separated values with a header; None is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([columns, *rows])
    return text.getvalue()


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines of plain text whose columns stand under each other.

    >>> aligned([["mask", "NDCG"], ["none", ".5"]])
    ['mask  NDCG', 'none  .5']
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
