"""One training run: what was asked for, the record in its folder, and the model made from both."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..core.artifacts import fingerprint, write_json
from ..core.dataset import Dataset, Queries, load_dataset
from ..core.errors import ArtifactError, UsageError, memory_errors_as_tssr
from ..core.schema import ITEMS_FILE
from ..core.settings import Model, Settings, option_name, resolve
from ..core.workspace import RUN_FILE, Workspace, read_run
from ..features.store import StoreInfo, choose_stores, open_store
from ..model.registry import Materials, ModelSpec, model_spec
from ..model.settings import PRESETS, TrainSettings, WindowSettings
from .run_settings import RunSettings

if TYPE_CHECKING:
    import torch

    from ..model.inputs import ContentFeatures
    from ..model.recommender import Recommender

VERSION = 4  # counts up when the same plan gives other numbers: older runs are then other runs


@dataclass(frozen=True)
class RunPlan:
    """Everything that decides a run's result."""

    model: str
    dataset: Dataset
    stores: list[StoreInfo]
    train: TrainSettings
    model_settings: Settings

    @property
    def spec(self) -> ModelSpec:
        """The registry's entry."""
        return model_spec(self.model)

    @property
    def title(self) -> str:
        """The model as tables name it; one that has counted test actions says so."""
        leaks = getattr(self.model_settings, "count_all", False)
        return f"{self.spec.title} (counts test actions)" if leaks else self.spec.title

    def record(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        return {
            "model": self.model,
            "dataset": self.dataset.name,
            "dataset_fingerprint": self.dataset.fingerprint,
            "features": {store.name: store.fingerprint for store in self.stores},
            "settings": {"train": self.train.record(), "model": self.model_settings.record()},
        }

    def key(self) -> str:
        """The hash of the plan, without what changes no result that anyone should rely on."""
        record = {"version": VERSION, **self.record()}
        for name in self.train.WHERE_AND_HOW:
            del record["settings"]["train"][name]
        return fingerprint(record)

    def folder(self, workspace: Workspace, name: str | None) -> Path:
        """The run's folder: the name the person gave, or one made from the plan."""
        return workspace.run(name or f"{self.dataset.name}-{self.model}-{self.key()[:8]}")


def options_of(model: str) -> set[str]:
    """What may be set for a model: of the training settings, one that does not train has only the device."""
    spec = model_spec(model)
    training = set(TrainSettings.model_fields) if spec.trained else {"device"}
    if not issubclass(spec.settings, WindowSettings):
        training -= {"train_windows"}
    return training | set(spec.settings.model_fields)


def plan_run(
    workspace: Workspace,
    chosen: RunSettings,
    table: Mapping[str, Any],
    typed: Mapping[str, Any],
    config_path: Path | None = None,
) -> RunPlan:
    """Resolve what the person asked for.

    `typed` are the options given, `table` those of the config file; what neither sets comes from the preset.
    Raises UsageError for an option that the chosen model does not have, and for missing data or features.
    """
    spec = model_spec(chosen.model)
    if chosen.preset not in PRESETS:
        raise UsageError(f"--preset {chosen.preset}: there are {', '.join(PRESETS)}")
    settable = options_of(chosen.model)
    for name in typed:
        if name not in settable:
            own = ", ".join(option_name(field) for field in spec.settings.model_fields)
            raise UsageError(f"{option_name(name)}: {chosen.model} has no such option; it has {own}")
    known = {*TrainSettings.model_fields, *spec.settings.model_fields}  # a file may be for several models
    for name in table:
        if name not in known:
            raise UsageError(
                f"--config {config_path}, {name}: unknown setting {name!r}; known here: "
                f"{', '.join(sorted(known))}"
            )

    def settle(model: type[Model]) -> Model:
        def of(values: Mapping[str, Any]) -> dict[str, Any]:
            return {name: values[name] for name in values if name in model.model_fields and name in settable}

        return resolve(model, of(typed), of(PRESETS[chosen.preset]) | of(table), config_path)

    train, model_settings = settle(TrainSettings), settle(spec.settings)
    dataset = load_dataset(workspace.choose_dataset(chosen.dataset))
    # In one order, so that streams mean the same however a person lists them.
    stores = _stores(workspace, dataset, chosen.features) if spec.reads_content else []
    stores.sort(key=lambda store: store.name)
    if chosen.features and not spec.reads_content:
        raise UsageError(f"--features: {chosen.model} reads no content; leave the option out")
    return RunPlan(chosen.model, dataset, stores, train, model_settings)


def _stores(workspace: Workspace, dataset: Dataset, names: tuple[str, ...]) -> list[StoreInfo]:
    stores = choose_stores(workspace.features(dataset.name), names)
    for store in stores:
        store.refuse_other_items(dataset.manifest["tables"][ITEMS_FILE]["sha256"])
    return stores


def open_run(workspace: Workspace, folder: Path) -> RunPlan:
    """Read a run's plan back and check that its data set and features are still those it was trained on.

    Raises ArtifactError that says which changed.
    """
    cure = f"delete {folder} and train again"
    record = read_run(folder)
    try:
        name, settings, features = record["dataset"], record["settings"], record["features"]
        spec = model_spec(record["model"])
        train, model_settings = (
            resolve(TrainSettings, settings["train"]),
            resolve(spec.settings, settings["model"]),
        )
    except (KeyError, TypeError, UsageError) as error:
        raise ArtifactError(f"{folder / RUN_FILE} is damaged ({error}); {cure}") from None
    dataset = load_dataset(workspace.choose_dataset(name))
    if dataset.fingerprint != record["dataset_fingerprint"]:
        raise ArtifactError(
            f"run {folder.name} was trained on another version of data set {name}; train again, or "
            "preprocess with the settings of that time"
        )
    stores = _stores(workspace, dataset, tuple(features)) if features else []
    for store in stores:
        if store.fingerprint != features[store.name]:
            raise ArtifactError(
                f"run {folder.name} was trained on other vectors than feature store {store.name} holds now; "
                "train again"
            )
    return RunPlan(record["model"], dataset, stores, train, model_settings)


def window_of(plan: RunPlan) -> int:
    """How many actions the plan's model looks back on; the data set's window for one that has none."""
    return getattr(plan.model_settings, "length", None) or int(plan.dataset.manifest["window"])


def refuse_empty(queries: Queries, dataset: Dataset) -> None:
    """Raise UsageError where a split asks nobody."""
    if len(queries) == 0:
        raise UsageError(
            f"no user of {dataset.name} has the three actions that a split takes; "
            "preprocess with --min-actions 3 or more, or a log with longer histories"
        )


def build_model(plan: RunPlan, device: torch.device) -> Recommender:
    """Build the plan's model with its first weights, on `device`."""
    import torch

    torch.manual_seed(plan.train.seed)
    whole, train = plan.dataset.histories, plan.dataset.split().train
    counted = whole if getattr(plan.model_settings, "count_all", False) else train
    materials = Materials(
        item_count=plan.dataset.item_count,
        length=window_of(plan),
        contents=[_content(store) for store in plan.stores],
        train=train,
        train_counts=torch.from_numpy(counted.counts()),
    )
    with memory_errors_as_tssr(f"building {plan.spec.title}", "lower --width, or choose --device cpu"):
        model = plan.spec.build(materials, plan.model_settings)
        if isinstance(model, torch.nn.Module):
            model.to(device)
    return model


def _content(store: StoreInfo) -> ContentFeatures:
    import torch

    from ..model.inputs import ContentFeatures

    vectors, present = open_store(store).item_features()
    return ContentFeatures(store.modality, torch.from_numpy(vectors), torch.from_numpy(present))


def write_run(folder: Path, plan: RunPlan, result: Mapping[str, Any] | None) -> None:
    """Write the run's record; with a `result` it counts as finished."""
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
    }
    write_json(folder / RUN_FILE, record)
