"""README.md of an export: its files, the model's settings, data and metrics, and the model's limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ...core.artifacts import read_json
from ...core.settings import as_options
from ...core.version import __version__
from ...core.workspace import read_run
from ...evaluation.measurement import Measurement
from ...evaluation.metrics import RANK_METRICS, metric_title
from ...evaluation.tables import markdown_table
from ..runs.evaluate import metrics_name
from ..runs.plan import RunPlan
from .item_side import ExportedItemSide
from .proof import Proof

FILES = {
    "user_side.onnx": "the user side for ONNX Runtime: `items` (B, L) int64, the numbers of the "
    "newest L items, padded on the left with 0 -> `states` (B, D) float32; some also take "
    "`lengths` (B,) int64, of the whole histories, or give `left_out` (B,) int64, which are no candidates",
    "user_side.pt2": "the same graph for torch: `torch.export.load(…).module()`",
    "user_vectors.npy": "a vector for each user of users.arrow, (U, D) float32",
    "items.arrow": "number (1…N) and id of each item, whether lists may hold it (`listed`), bias, vector",
    "item_side.onnx": "new items for ONNX Runtime: `content` (K, C) float32, the stores' vectors side by "
    "side, and `present` (K, M) bool -> `vectors` (K, D), `biases` (K,) float32",
    "item_side.pt2": "the same graph for torch",
    "item_vectors.npy": "the item vectors, (N, D) float32; row 0 is item number 1",
    "item_bias.npy": "the item biases, (N,) float32: a score is state · vector + bias",
    "items.faiss": "an exact FAISS index of the listed items, by number; the bias is one more dimension",
    "neighbours.arrow": "pairs of an item and its neighbour, by number, with their similarity",
    "user_left_out.npy": "the number of the item of each user that is no candidate: the newest one, (U,)",
    "successors.arrow": "pairs of an item and one that it leads to, by number, with how strongly",
    "place_weights.npy": "what the newest items of a history count, (L + 1, L) float64: row n is for a "
    "history of n items, the newest last",
    "lists.arrow": "the best items of each user, by number, with their scores, as many rows for each",
    "users.arrow": "number and id of each user",
    "rank.py": "ranks with these files alone; run by the check below",
    "export.json": "this page's facts for programs",
    "SHA256SUMS": "checksums of all files: `sha256sum --check SHA256SUMS`",
}
_LIMITS = {
    "histories": "A history counts with its newest {length} items; items that the data set does not have "
    "are skipped. A user is nothing but a history, so users whom training never saw are served too.",
    "users": "Only users of the data set have a vector, for the model, or a part of it, learned one for each "
    "(one whom training never saw has the mean of the vectors of the items in the history). New actions "
    "change nothing until the model is trained again.",
    "neighbours": "Scores are sums of similarities and no inner product of short vectors, so there is no "
    "graph and no index: the neighbour lists are exported instead.",
    "successors": "Scores are weighted means of how strongly the newest {length} items lead to others, and "
    "no inner product of short vectors, so there is no graph and no index: the pairs are exported instead.",
    "lists": "Scores are no inner product of short vectors, so there is no graph and no index: the best "
    "items of every user of the data set are exported instead. New actions change nothing until the run is "
    "exported again.",
    "popularity": "Everyone gets the same list, so there is no graph: the counts are exported instead, as "
    "each item's bias.",
}


@dataclass(frozen=True)
class ExportResult:
    """An export's kind, its window L (None for a model without one), and the results of its checks."""

    kind: str
    length: int | None
    listed: int
    cold: int
    cold_bonus: float
    newest_left_out: bool
    proof: Proof
    graphs: float | None
    item_side: ExportedItemSide | None

    def limits(self) -> list[str]:
        """What a reader must know before serving it."""
        lines = [_LIMITS[self.kind].format(length=self.length)]
        if self.cold:
            lines.append(f"{self.cold:,} items without a train action are in no list.")
        if self.cold_bonus:
            lines.append(
                f"Scores of items without a train action have {self.cold_bonus:g} added (--cold-bonus), and "
                "so have those of new items."
            )
        if self.newest_left_out:
            lines.append("The newest item of a history is no candidate and stands in no list.")
        others = "other items" if self.newest_left_out else "items"
        lines.append(
            f"Lists may hold {others} of the history itself; leave them out where they do not belong."
        )
        return lines


def write_card(folder: Path, run: Path, plan: RunPlan, exported: ExportResult, needs: Sequence[str]) -> None:
    """Write README.md for the files in `folder`."""
    names = [name for name in FILES if (folder / name).exists() or name == "SHA256SUMS"]
    parts = [
        f"# {plan.title} on {plan.dataset.name}\n",
        f"Exported by tssr {__version__} from the run {run.name}. `python rank.py` needs {', '.join(needs)}; "
        "it reads one JSON value a line and says in its first lines which.\n",
        markdown_table(["file", "what it is"], [[f"`{name}`", FILES[name]] for name in names]).replace(
            "---:", "---"
        ),
        "## Checked\n",
        f"{exported.proof.describe()} (rank.py in a process that had neither tssr nor torch).\n",
        *_graphs(exported),
        "## New items\n",
        *_new_items(exported, plan),
        "## Data and protocol\n",
        *_data(plan),
        "## Measured\n",
        *_metrics(run),
        "## Settings\n",
        *_settings(run, plan),
        "## Limits\n",
        "".join(f"- {line}\n" for line in exported.limits()),
    ]
    (folder / "README.md").write_text("\n".join(parts), encoding="utf-8")


def _graphs(exported: ExportResult) -> list[str]:
    if exported.graphs is None:
        return []
    return [f"The graphs for torch and for ONNX Runtime give states that differ by {exported.graphs:.1e}.\n"]


def _new_items(exported: ExportResult, plan: RunPlan) -> list[str]:
    """How to compute the vector of a new item, or why that is not possible."""
    item_side = exported.item_side
    if item_side is None:
        heads = "; `--head content` or `table+content` give it one from content"
        return [
            "None: an item is known by what was done with it, so a new one has no vector and is in no list "
            f"until the model is trained again{heads if 'content' in _heads(plan) else ''}.\n"
        ]
    stores = "".join(
        f"- {each['dimension']} numbers of {each['modality']}, as in the store `{each['store']}`; encoder: "
        f"{each['encoder']}\n"
        for each in item_side.reads
    )
    return [
        "`item_side.onnx` makes a vector and a bias from the content of an item that the run never met. "
        "`content` has side by side\n",
        stores,
        "`tssr extract-features` makes such vectors; `present` says which of them an item has. What the "
        "model learned of each item by itself (a row in a table, a bias) is replaced by its mean over the "
        "items that were taken in training, as `--cold-items` does.\n",
        f"Checked on {item_side.items:,} items taken for new: vectors differ from the run's by "
        f"{item_side.difference:.0e} at most.\n",
    ]


def _heads(plan: RunPlan) -> Sequence[str]:
    """The heads that the model may have; none where it reads no content."""
    head = type(plan.model_settings).model_fields.get("head")
    return get_args(head.annotation) if head is not None and plan.spec.reads_content else ()


def _settings(run: Path, plan: RunPlan) -> list[str]:
    """What was trained, as options; of a blend its parts, with how much each decides."""
    if not plan.parts:
        return [f"`{_options(plan)}`\n"]
    shares = [part["share"] for part in read_run(run)["result"]["parts"]]
    pairs = zip(shares, plan.parts, strict=True)
    return ["".join(f"- {share:.0%} of the sum: `{_options(part)}`\n" for share, part in pairs)]


def _options(plan: RunPlan) -> str:
    return as_options({"model": plan.model, **plan.options()})


def _data(plan: RunPlan) -> list[str]:
    manifest = plan.dataset.manifest
    counts = manifest["counts"]
    split = "a global time split" if plan.dataset.by_time else "leave-one-out"
    stores = ", ".join(store.name for store in plan.stores) or "none"
    protocol: Mapping[str, Any] = manifest.get("request", {}).get("settings", {})
    kept = {
        name: protocol[name]
        for name in ("min_actions", "repeats", "users", "keep_last")
        if protocol.get(name)
    }
    return [
        f"- {counts['users']:,} users, {counts['items']:,} items, {counts['actions']:,} actions; {split}\n"
        f"- preprocessed with `{as_options(kept)}`, fingerprint `{plan.dataset.fingerprint[:16]}`\n"
        f"- content features: {stores}\n"
    ]


def _metrics(run: Path) -> list[str]:
    """The test metrics that the run's folder holds, each table with its protocol."""
    path = run / metrics_name("test")
    result = read_run(run)["result"]
    selected = f"Validation NDCG@10, by which the weights were chosen: {result['validation_ndcg@10']:.4f}.\n"
    if not path.exists():
        return [selected, "The test split was not measured (`tssr evaluate` does).\n"]
    record = read_json(path, cure="run tssr evaluate --force")
    parts = [selected]
    for measurement in map(Measurement.from_record, record["measurements"]):
        names = [name for name in measurement.metrics if name.partition("@")[0] in RANK_METRICS]
        row = [f"{measurement.metrics[name]:.4f}" for name in names]
        parts.append(f"{measurement.protocol.describe()}:\n")
        parts.append(markdown_table([metric_title(name) for name in names], [row]))
    return parts
