"""What the demo's customers say: leads in standard errors, and accuracy by how new the article is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...evaluation.rank_metrics import ndcg_at, recall_at
from ...evaluation.ranking import Ranks
from ...evaluation.settings import Mask
from ...evaluation.slices import slices_of
from ...evaluation.tables import aligned

K = 10
MASK: Mask = "none"
_GROUPS = {"0": "new", "1-4": "rare", "5-19": "5 to 19 sales", "20+": "20 and more"}
_MEASURES = {f"recall@{K}": (f"Recall@{K}", recall_at), f"ndcg@{K}": (f"NDCG@{K}", ndcg_at)}


def lead(ours: Ranks, theirs: Ranks) -> dict[str, dict[str, float]]:
    """By metric: the mean difference, and how many standard errors of the customers' differences it is."""
    found = {}
    for name, (_, measure) in _MEASURES.items():
        differences = measure(ours.by_mask[MASK], K) - measure(theirs.by_mask[MASK], K)
        error = float(differences.std(ddof=1)) / len(differences) ** 0.5
        mean = float(differences.mean())
        found[name] = {"difference": mean, "errors": mean / error if error else 0.0}
    return found


def lead_line(name: str, other: str, found: Mapping[str, Mapping[str, float]]) -> str:
    """The lead in one line."""
    parts = [
        f"{title} {found[metric]['difference']:+.4f} ({found[metric]['errors']:+.1f} standard errors)"
        for metric, (title, _) in _MEASURES.items()
    ]
    return f"{name} over {other}: {', '.join(parts)}"


def by_sales(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table of NDCG by how often the article asked for was sold in training: a line a model."""
    rows: list[Sequence[str]] = []
    head: list[str] = []
    for name, record in records.items():
        entries = slices_of(record, "popularity", MASK)
        head = [f"{_GROUPS[entry['slice']]} ({entry['queries']:,})" for entry in entries]
        rows.append([name, *(f"{entry['metrics'][f'ndcg@{K}']:.4f}" for entry in entries)])
    title = f"NDCG@{K} by how often the article was sold in training (new: never, rare: 1 to 4 times):"
    table = [title, *aligned([["model", *head], *rows])]
    if not any(label.startswith(_GROUPS["0"]) for label in head):
        table.append("No customer's next purchase was a new article")
    return table
