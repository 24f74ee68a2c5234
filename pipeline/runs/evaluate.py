"""The evaluate stage: a run's best weights in, metrics with their protocol and per-user ranks out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.artifacts import atomic_path, fingerprint, read_json, sha256_file, write_json
from ...core.dataset import Dataset, DatasetInfo, Queries, Split, load_dataset
from ...core.device import choose_device
from ...core.errors import ArtifactError, UsageError
from ...core.progress import progress
from ...core.summary import Summary
from ...core.torchrun import current_world
from ...core.workspace import Workspace, read_run
from ...evaluation.metrics import Measurement, Protocol, RankCounts, Targets, metric_title
from ...evaluation.ranking import RankingOptions, rank_targets
from ...evaluation.ranks import write_ranks
from ...evaluation.settings import EvaluateSettings
from .build import build_model, refuse_empty
from .plan import RunPlan, window_of
from .record import open_run

if TYPE_CHECKING:
    from ...evaluation.ranking import Ranks
    from ...model.recommender import Recommender


def evaluate(workspace: Workspace, run: str | None, settings: EvaluateSettings, *, force: bool) -> Summary:
    """Rank all items for every user of the split and measure; writes into the run's folder.

    Under torchrun the processes share the users, and the first alone writes.
    Raises UsageError where there is no such run, ArtifactError where it no longer fits its data.
    """
    folder = workspace.choose_run(run)
    plan = open_run(workspace, folder)  # also before an answer from the cache: is its data still there?
    metrics_file = folder / metrics_name(settings.split)
    key = _key(folder, settings)
    if metrics_file.exists() and not force:
        record = read_json(metrics_file, cure="run the same command with --force")
        if record.get("key") == key:
            return _summary(folder, record, settings, cached=True)
    dataset = load_dataset(plan.dataset)
    split = dataset.split()
    queries = _queries(dataset, split, settings)
    cold = split.cold_items()
    ranks, window, rankable = _rank(
        folder, plan, dataset, queries, cold if settings.cold_items else None, settings
    )
    is_cold = cold[ranks.targets - 1]
    everyone = np.ones_like(is_cold)
    record = {
        "key": key,
        "run": folder.name,
        "model": plan.model,
        "title": plan.title,
        "dataset": plan.dataset.name,
        "depth": settings.depth,
        "measurements": _measure(ranks, plan, settings, window, {"all": everyone}),
        "cold": {"items": int(cold.sum()), "targets": int(is_cold.sum()), "rankable": rankable},
        "by_target": _measure(ranks, plan, settings, window, {"warm": ~is_cold, "cold": is_cold}),
    }
    if current_world().leads:
        _write(metrics_file, folder / ranks_name(settings.split), record, ranks)
    return _summary(folder, record, settings, cached=False)


def _write(metrics_file: Path, ranks_file: Path, record: Mapping[str, Any], ranks: Ranks) -> None:
    """Replace metrics and ranks together: old ones go only when both new ones are on the disk.

    A kill between the two renames leaves no metrics, so that old metrics never stand beside new ranks.
    """
    with atomic_path(metrics_file) as new_metrics, atomic_path(ranks_file) as new_ranks:
        write_json(new_metrics, record)
        write_ranks(new_ranks, ranks)
        metrics_file.unlink(missing_ok=True)


def metrics_name(split: str) -> str:
    """The file in a run's folder that holds a split's metrics."""
    return "metrics.json" if split == "test" else f"metrics-{split}.json"


def ranks_name(split: str) -> str:
    """The file in a run's folder that holds every user's rank in a split."""
    return f"ranks-{split}.parquet"


def trained_model(folder: Path, plan: RunPlan, dataset: Dataset, device_name: str) -> Recommender:
    """Build the plan's model with the best weights of the run in `folder`, ready to score."""
    import torch

    from ...model.checkpoint import MODEL_FILE, load_model

    model = build_model(plan, dataset, choose_device(device_name))
    if isinstance(model, torch.nn.Module):
        written = read_run(folder)["result"].get("weights_sha256")
        there = (folder / MODEL_FILE).is_file()
        if there and written is not None and sha256_file(folder / MODEL_FILE) != written:
            raise ArtifactError(
                f"{folder / MODEL_FILE} is damaged: it is not what training wrote; delete its folder "
                "and train again"
            )
        load_model(folder / MODEL_FILE, model)
        model.eval()
    return model


def _key(folder: Path, settings: EvaluateSettings) -> str:
    trained = read_run(folder)
    chosen = {name: value for name, value in settings.record().items() if name not in ("device", "backend")}
    return fingerprint({"run": trained.get("key"), "finished_at": trained["finished_at"], **chosen})


def _queries(dataset: Dataset, split: Split, settings: EvaluateSettings) -> Queries:
    queries = split.test if settings.split == "test" else split.validation
    refuse_empty(queries, dataset)
    check_topk(settings.topk, dataset.info)
    return queries


def check_topk(topk: Sequence[int], dataset: DatasetInfo) -> None:
    """Refuse lists that are longer than the catalogue."""
    for k in topk:
        if k > dataset.item_count:
            raise UsageError(f"--topk {k}: {dataset.name} has only {dataset.item_count} items")


def _rank(
    folder: Path,
    plan: RunPlan,
    dataset: Dataset,
    queries: Queries,
    cold: NDArray[np.bool_] | None,
    settings: EvaluateSettings,
) -> tuple[Ranks, int, bool]:
    """Ranks, the window that mask `exempt` keeps, and whether the model can rank cold items."""
    from .scorer import joined, own_queries, ranks_cold_items, scorer_of

    device = choose_device(settings.device)
    model = trained_model(folder, plan, dataset, settings.device)
    window = window_of(plan)
    options = RankingOptions(settings.mask, window, settings.depth, settings.backend, str(device))
    scorer = scorer_of(model, queries, cold)
    lo, hi = own_queries(len(queries))
    what, leads = f"ranking {plan.dataset.item_count:,} items", current_world().leads
    with progress(what, hi - lo, "users", shown=leads) as advance:
        ranks = joined(rank_targets(queries, scorer, options, bounds=(lo, hi), advance=advance))
    return ranks, window, ranks_cold_items(model)


def _measure(
    ranks: Ranks,
    plan: RunPlan,
    settings: EvaluateSettings,
    window: int,
    groups: Mapping[Targets, NDArray[np.bool_]],
) -> list[dict[str, Any]]:
    """What was measured for each group of queries, (Q,) each, that has any, under each history mask."""
    measurements = []
    for targets, asked in groups.items():
        for mask in settings.mask if asked.any() else ():
            counts = RankCounts.of(ranks.by_mask[mask][asked], ranks.depth)
            protocol = Protocol(
                split=f"time {settings.split}" if plan.dataset.by_time else settings.split,
                queries=counts.queries,
                candidates=plan.dataset.item_count,
                mask=mask,
                window=window if mask == "exempt" else None,
                targets=targets,
                cold_items="from content" if settings.cold_items else "as trained",
            )
            measurements.append(Measurement(protocol, counts.metrics(settings.topk)).record())
    return measurements


def _summary(folder: Path, record: dict[str, Any], settings: EvaluateSettings, *, cached: bool) -> Summary:
    names = [f"{metric}@{k}" for metric in ("recall", "ndcg", "mrr") for k in settings.topk]
    columns = ["mask", *map(metric_title, names)]
    shown = [*record["measurements"], *(record["by_target"] if settings.cold_items else [])]
    rows = [(m["protocol"]["mask"], *(f"{m['metrics'][name]:.4f}" for name in names)) for m in shown]
    if settings.cold_items:
        columns = ["targets", "users", *columns]
        asked = [(m["protocol"]["targets"], f"{m['protocol']['queries']:,}") for m in shown]
        rows = [(*group, *row) for group, row in zip(asked, rows, strict=True)]
    protocol = Measurement.from_record(record["measurements"][0]).protocol
    notes = [f"{protocol.describe(mask=False)}; {folder / metrics_name(settings.split)}"]
    if record["cold"]["items"]:
        notes.append(_cold_note(record["cold"], from_content=settings.cold_items))
    data = {"stage": "evaluate", "folder": str(folder), **record}
    title = f"{record['title']} on {record['dataset']}"
    return Summary(title, rows, data, columns, notes=notes, cached=cached)


def _cold_note(cold: Mapping[str, int], *, from_content: bool) -> str:
    hint = " (--cold-items scores them from content)" if cold.get("rankable") else ""
    how = "from content alone" if from_content else f"by what training left in their rows{hint}"
    whose = f"{cold['items']:,} items, the targets of {cold['targets']:,} users"
    return f"{whose}, have no train action and are scored {how}"
