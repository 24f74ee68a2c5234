"""The stage `extract-features`: encodes the content of every item once and stores the vectors."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ...core.artifacts import read_json, sha256_file
from ...core.dataset import remake
from ...core.progress import note_once
from ...core.schema import ITEM, ITEM_ID, ITEMS, ITEMS_FILE, MANIFEST_FILE, read_table
from ...core.summary import Summary
from ...core.torchrun import World, joined_world
from ...core.words import size_in_words
from ...core.workspace import WorkspaceFolders
from ...features.modality import MODALITIES
from ...features.settings import FORMER_FLAGS, FeatureSettings
from .fill_store import make_stores
from .store_job import StoreJob, StoreOutcome, reasons_in_words


def extract_features(
    workspace: WorkspaceFolders, settings: FeatureSettings, *more: FeatureSettings, force: bool = False
) -> Summary:
    """Make or extend one feature store for each modality; `more` are settings of further stores to make.

    All are of the data set of `settings`. Before the first one is made, all are checked as far as that goes.
    Under torchrun the processes share the work, and all but the main one report nothing. Raises DataError for
    a raw folder that is missing or holds none of the content, UsageError for an encoder that cannot be had,
    TssrError where the disk has no room for all stores.
    """
    folder = workspace.choose_dataset(settings.dataset)
    for flag in FORMER_FLAGS:
        if any(getattr(asked, flag) for asked in (settings, *more)):
            note_once(f"--{flag} goes in 0.3.0; write --inputs, which is for all of --modality")
    stores = workspace.features(folder.name)
    with joined_world() as world:
        jobs = [job for asked in (settings, *more) for job in _jobs(folder, asked, world)]
        made = make_stores(jobs, stores, force=force)
        # The main process still commits when the others have encoded their parts. They wait for it, for the
        # next step of their command may read the stores.
        world.barrier()
    return _summary(folder.name, made)


def _jobs(folder: Path, settings: FeatureSettings, world: World) -> list[StoreJob]:
    """One job for each modality of the data set in `folder`."""
    cure = remake(folder.name)
    columns = [ITEM, ITEM_ID, *(MODALITIES[name].column for name in settings.modality)]
    items = read_table(folder / ITEMS_FILE, ITEMS, cure=cure, columns=columns)
    catalogue = sha256_file(folder / ITEMS_FILE)
    raw = settings.raw or Path(str(read_json(folder / MANIFEST_FILE, cure=cure).get("raw", "")))
    return [StoreJob(choice, settings, items, catalogue, raw, world) for choice in settings.choices()]


def _note(outcome: StoreOutcome) -> list[str]:
    """One line on the items without a vector."""
    modality = MODALITIES[outcome.info.modality]
    absent = sum(count for reason, count in outcome.missing.items() if reason in modality.absent)
    bad = {reason: count for reason, count in outcome.missing.items() if reason not in modality.absent}
    if not outcome.missing:
        return []
    line = f"{absent:,} of {outcome.info.items:,} {modality.noun} missing"
    if bad:
        line += f", {sum(bad.values()):,} unusable ({reasons_in_words(bad)})"
    return [f"{line}; {outcome.info.folder / ITEMS_FILE} lists them."]


def _summary(dataset: str, outcomes: list[StoreOutcome]) -> Summary:
    rows = [
        (
            outcome.info.name,
            f"{outcome.info.dimension:,}",
            f"{outcome.info.items:,}",
            f"{outcome.info.missing:,}",
            f"{outcome.encoded:,}",
            size_in_words(outcome.info.bytes),
        )
        for outcome in outcomes
    ]
    stores = [
        {
            **{
                key: value
                for key, value in asdict(outcome.info).items()
                if key not in ("missing", "manifest")
            },
            "folder": str(outcome.info.folder),
            "missing": outcome.missing,
            "encoded": outcome.encoded,
            "seconds": round(outcome.seconds, 3),
        }
        for outcome in outcomes
    ]
    return Summary(
        f"Features of {dataset}",
        rows,
        {"stage": "extract-features", "dataset": dataset, "stores": stores},
        columns=("store", "dimension", "items", "missing", "encoded", "size"),
        notes=[line for outcome in outcomes for line in _note(outcome)],
        cached=all(outcome.cached for outcome in outcomes),
    )
