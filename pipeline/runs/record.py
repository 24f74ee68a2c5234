"""The record in a run's folder (run.json): written when training begins and ends, read by later stages."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...core.artifacts import write_json
from ...core.dataset import DatasetInfo, describe_dataset
from ...core.errors import ArtifactError, OutdatedError, UsageError
from ...core.schema import ITEMS_FILE
from ...core.settings import resolve
from ...core.version import __version__
from ...core.workspace import RUN_FILE, WorkspaceFolders, read_run
from ...features.store import StoreInfo, list_stores
from ...model.own_models import VARIABLE
from ...model.registry import BLEND, MODELS, model_spec
from ...model.settings import TrainSettings
from .end_to_end import EndToEndPlan
from .plan import RunPlan, stores_of

# Settings of older versions that changed nothing of what was trained. Records of that time hold them, and
# they are passed over: the bonus of cold items is an option of evaluate and recommend now.
MOVED_AWAY = {"cold_bonus"}


def open_run(workspace: WorkspaceFolders, folder: Path) -> RunPlan:
    """Read a run's plan back and check that its data set and features are still those it was trained on.

    Raises OutdatedError that says which changed, ArtifactError for a record that cannot be read here.
    """
    return _plan_of(workspace, folder, read_run(folder))


def _plan_of(workspace: WorkspaceFolders, folder: Path, record: Mapping[str, Any]) -> RunPlan:
    with _reading(folder):
        name, settings, features = record["dataset"], record["settings"], record["features"]
        parts = tuple(_plan_of(workspace, folder, part) for part in record.get("parts", ()))
        if not parts:
            _refuse_unknown_model(folder, record["model"])
        spec = BLEND if parts else model_spec(record["model"])
        kept = {name: value for name, value in settings["model"].items() if name not in MOVED_AWAY}
        train, model_settings = resolve(TrainSettings, settings["train"]), resolve(spec.settings, kept)
    if record.get("model_code", spec.code) != spec.code:
        raise ArtifactError(
            f"run {folder.name} was trained by other code of the model {record['model']} than is registered; "
            "train again"
        )
    dataset = describe_dataset(workspace.choose_dataset(name))
    if dataset.fingerprint != record["dataset_fingerprint"]:
        raise OutdatedError(
            f"run {folder.name} was trained on another version of data set {name}; train again, or "
            "preprocess with the settings of that time"
        )
    if "end_to_end" in record:
        along, stores = _encoders_of(workspace, dataset, record, folder)
        return RunPlan(record["model"], dataset, stores, train, model_settings, end_to_end=along)
    stores = stores_of(workspace, dataset, tuple(features)) if features else []
    for store in stores:
        if store.fingerprint != features[store.name]:
            raise OutdatedError(
                f"run {folder.name} was trained on other vectors than feature store {store.name} holds now; "
                "train again"
            )
    return RunPlan(record["model"], dataset, stores, train, model_settings, parts)


def _refuse_unknown_model(folder: Path, model: str) -> None:
    """Raise ArtifactError for a model that is not registered: most often another shell's TSSR_MODELS."""
    if model not in MODELS:
        raise ArtifactError(
            f"run {folder.name} is of the model {model}, which is not registered here; set {VARIABLE} to the "
            f"module that registers it, as in {VARIABLE}=my_models"
        )


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Raise ArtifactError for what is no part of a record, and for settings that are refused now."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(
            f"{folder / RUN_FILE} is damaged ({error}); delete {folder} and train again"
        ) from None
    except UsageError as error:  # they were read when the run was trained
        raise ArtifactError(
            f"run {folder.name} has settings that this version of tssr or of its model does not read "
            f"({error}); use the version that trained it, or train again"
        ) from None


def _encoders_of(
    workspace: WorkspaceFolders, dataset: DatasetInfo, record: Mapping[str, Any], folder: Path
) -> tuple[EndToEndPlan, list[StoreInfo]]:
    """The trained encoders of a run and the stores they read; stores may have grown since training.

    Raises ArtifactError for a store that was made before items changed: it lacks the content that is new.
    """
    with _reading(folder):
        along = EndToEndPlan.from_record(record["end_to_end"])
    there = {store.name: store for store in list_stores(workspace.features(dataset.name))}
    missing = [name for name in record["features"] if name not in there]
    if missing:
        raise ArtifactError(
            f"feature store {missing[0]}, which the run's encoder reads, is gone; make it again with the "
            "extract-features command of that time"
        )
    stores = [there[name] for name in record["features"]]
    for store in stores:
        store.refuse_other_items(dataset.manifest["tables"][ITEMS_FILE]["sha256"])
    return along, stores


def write_run(
    folder: Path, plan: RunPlan, result: Mapping[str, Any] | None, *, diverged: str | None = None
) -> None:
    """Write the run's record; with a `result` the run is finished, with `diverged` it failed for good."""
    import torch

    now = datetime.now(UTC).isoformat(timespec="microseconds")
    record = {
        **plan.record(),
        "key": plan.key(),
        "versions": {
            "tssr": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "finished_at": now if result is not None else None,
        "result": dict(result) if result is not None else None,
        "diverged": diverged,
    }
    write_json(folder / RUN_FILE, record)
