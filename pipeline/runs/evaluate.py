"""The evaluate stage: from a run's best weights to metrics with their protocol, and each user's rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.artifacts import atomic_path, fingerprint, read_json, write_json
from ...core.dataset import LoadedDataset, Queries, load_dataset
from ...core.device import choose_device
from ...core.progress import progress
from ...core.summary import Summary
from ...core.torchrun import current_world
from ...core.workspace import WorkspaceFolders, read_run
from ...evaluation.ranking import RankingOptions, rank_targets
from ...evaluation.ranks import write_ranks
from ...evaluation.settings import EvaluateSettings
from ...features.store import StoreInfo
from .build import refuse_empty
from .list_lengths import with_fitting_topk
from .metrics_record import VERSION, EvaluationTask, diversity_stores, metrics_record
from .metrics_tables import metrics_summary
from .plan import RunPlan, window_of
from .readings import readings_words, record_test_reading
from .record import open_run
from .trained_model import trained_model

if TYPE_CHECKING:
    from ...evaluation.ranking import Ranks


def evaluate(
    workspace: WorkspaceFolders,
    run: str | None,
    settings: EvaluateSettings,
    *,
    force: bool,
    reader: str = "evaluate",
) -> Summary:
    """Rank all items for every user of the split and measure; writes into the run's folder.

    `reader` is the command that reads the test split; the run's folder lists such readings. Under torchrun
    each process ranks a part of the users, and only the main one writes.
    Raises UsageError where there is no such run, ArtifactError where it no longer fits its data.
    """
    folder = workspace.choose_run(run)
    plan = open_run(workspace, folder)  # also before a cached answer, to refuse a run whose data has changed
    settings = with_fitting_topk(settings, plan.dataset)
    metrics_file = folder / metrics_name(settings.split)
    contents = diversity_stores(workspace, plan.dataset.name, plan.stores)
    key = _key(folder, settings, contents)
    world = current_world()
    world.refuse_unequal("runs or stores", f"{folder} {key}")
    read = partial(_kept_metrics, metrics_file, key)
    kept = None if force else world.as_main_finds(read, str(metrics_file))
    if kept is not None:
        return metrics_summary(metrics_file, kept, settings, _readings(folder, settings), cached=True)
    if settings.split == "test" and world.is_main:
        record_test_reading(folder, reader)
    dataset = load_dataset(plan.dataset)
    task = EvaluationTask(dataset, asked_queries(dataset, settings), settings, window_of(plan), contents)
    ranks, rankable, representation = _rank(folder, plan, task)
    measured = metrics_record(ranks, task)
    measured["cold"]["rankable"] = rankable
    record = {
        "key": key,
        "run": folder.name,
        "model": plan.model,
        "title": plan.title,
        "dataset": plan.dataset.name,
        **measured,
        "representation": representation,
    }
    if world.is_main:
        write_metrics(metrics_file, folder / ranks_name(settings.split), record, ranks)
    return metrics_summary(metrics_file, record, settings, _readings(folder, settings), cached=False)


def _kept_metrics(metrics_file: Path, key: str) -> dict[str, Any] | None:
    """The metrics that an equal command has written, or None."""
    if not metrics_file.exists():
        return None
    record = read_json(metrics_file, cure="run the same command with --force")
    return record if record.get("key") == key else None


def _readings(folder: Path, settings: EvaluateSettings) -> list[str]:
    """How often the run was measured on the test split, as a note below such a measurement."""
    words = readings_words(folder) if settings.split == "test" else None
    return [] if words is None else [words]


def write_metrics(metrics_file: Path, ranks_file: Path, record: Mapping[str, Any], ranks: Ranks) -> None:
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


def _key(folder: Path, settings: EvaluateSettings, contents: Sequence[StoreInfo]) -> str:
    """The hash of everything the metrics depend on: the run, the settings, and the stores for diversity."""
    trained = read_run(folder)
    measured = {"version": VERSION, "contents": [store.fingerprint for store in contents]}
    measured |= settings.deciding()
    return fingerprint({"run": trained.get("key"), "finished_at": trained["finished_at"], **measured})


def asked_queries(dataset: LoadedDataset, settings: EvaluateSettings) -> Queries:
    """The queries of the chosen split; raises UsageError where it has none."""
    split = dataset.split()
    queries = split.test if settings.split == "test" else split.validation
    refuse_empty(queries, dataset)
    return queries


def _rank(folder: Path, plan: RunPlan, task: EvaluationTask) -> tuple[Ranks, bool, dict[str, float]]:
    """The ranks and lists of all queries; whether the model can rank cold items; alignment and uniformity."""
    from .representation import representation_probe
    from .scorer import joined_ranks, own_queries, ranks_cold_items, scorer_of

    settings, queries = task.settings, task.queries
    model = trained_model(folder, plan, task.dataset, settings.device)
    options = RankingOptions(
        settings.mask,
        task.window,
        settings.depth,
        settings.backend,
        str(choose_device(settings.device)),
        lists=max(settings.topk),
    )
    split = plan.split(task.dataset)
    cold = split.cold_items() if settings.cold_items else None
    scorer = scorer_of(model, queries, cold, settings.cold_bonus)
    lo, hi = own_queries(len(queries))
    what, is_main = f"ranking {plan.dataset.item_count:,} items", current_world().is_main
    with progress(what, hi - lo, "users", shown=is_main) as advance:
        ranks = joined_ranks(rank_targets(queries, scorer, options, bounds=(lo, hi), advance=advance))
    representation = representation_probe(model, split, plan.train.seed)()
    return ranks, ranks_cold_items(model), representation
