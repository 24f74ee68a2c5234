"""The plan of a run: the model, the data set, the feature stores and all settings, after resolving defaults.

Two runs with equal plans have equal results, so a run's folder is named by a hash of its plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.artifacts import fingerprint
from ...core.dataset import DatasetInfo, LoadedDataset, Split, describe_dataset
from ...core.errors import UsageError
from ...core.schema import ITEMS_FILE
from ...core.settings import Model, Settings, option_name, resolve
from ...core.words import unknown_name
from ...core.workspace import WorkspaceFolders
from ...features.modality import modalities_of
from ...features.store import StoreInfo, choose_stores, has_stores
from ...model.presets import PRESETS
from ...model.registry import BLEND, BLENDED, ModelSpec, from_content, model_spec
from ...model.settings import TrainSettings, WindowSettings
from .end_to_end import EndToEndPlan, input_stores, plan_end_to_end, refuse_unfit
from .end_to_end_settings import EndToEndSettings
from .settings import RunSettings
from .train_config import TrainConfig

VERSION = 4  # raised when the same plan gives other numbers, so that older runs have another hash
# The same for single models: only their older runs have another hash.
MODEL_VERSIONS = {"order-knn": 2, "rank-id": 2, "tssr-late": 2, "tssr-rank": 2, BLENDED: 2}

# Settings that came after the first runs, and the value that means what those did: with it a run has the hash
# of one that is older than the setting, so that nothing is trained again.
ADDED_LATER = {
    "item_start": "random",
    "train_users_share": 1.0,
    "cold_share": 0.0,
    "refresh_items": "step",
}


@dataclass(frozen=True)
class RunPlan:
    """Everything that decides a run's result; `parts` are the plans of the runs that a blend is made of."""

    model: str
    dataset: DatasetInfo
    stores: list[StoreInfo]
    train: TrainSettings
    model_settings: Settings
    parts: tuple[RunPlan, ...] = ()
    end_to_end: EndToEndPlan | None = None

    @property
    def spec(self) -> ModelSpec:
        """The model's entry in the registry."""
        return BLEND if self.parts else model_spec(self.model)

    @property
    def title(self) -> str:
        """The model as tables name it; one that has counted test actions says so."""
        if self.parts:
            counted = Counter(part.title for part in self.parts)
            return " + ".join(title if n == 1 else f"{n} x {title}" for title, n in counted.items())
        if getattr(self.model_settings, "count_all", False):
            return f"{self.spec.title} (counts test actions)"
        share = self.train.train_users_share
        return self.spec.title if share == 1.0 else f"{self.spec.title} ({share:.4g} of train users)"

    def split(self, dataset: LoadedDataset) -> Split:
        """The data set's split, with the train actions that the plan's model may read."""
        return dataset.split().with_train_users(self.train.train_users_share)

    def record(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        record = {
            **({"parts": [part.record() for part in self.parts]} if self.parts else {}),
            "model": self.model,
            "dataset": self.dataset.name,
            "dataset_fingerprint": self.dataset.fingerprint,
            "features": {store.name: store.fingerprint for store in self.stores},
            "settings": {"train": self.train.record(), "model": self.model_settings.record()},
            **({"model_code": self.spec.code} if self.spec.code else {}),
        }
        if self.end_to_end is not None:  # no key for other runs, so that their hashes are those of old runs
            record["end_to_end"] = self.end_to_end.record()
        return record

    def options(self) -> dict[str, Any]:
        """The settings that are not the model's defaults: what one types to train the plan again."""
        usual = dict(resolve(TrainSettings, {})) | dict(resolve(type(self.model_settings), {}))
        defaults = {**usual, **self.spec.defaults}
        settings = {**dict(self.train), **dict(self.model_settings)}
        changed = {name: value for name, value in settings.items() if value != defaults[name]}
        return changed if self.end_to_end is None else changed | self.end_to_end.settings.changed()

    def setting(self, name: str) -> Any:
        """The value of one setting of training, of the model, or of the encoders that are trained along."""
        of_encoders = () if self.end_to_end is None else (self.end_to_end.settings,)
        return next(
            getattr(of, name)
            for of in (self.train, self.model_settings, *of_encoders)
            if name in type(of).model_fields
        )

    def key(self, features: Mapping[str, str] | None = None) -> str:
        """The hash of the plan without settings that change a result by rounding at most, such as device.

        `features` stand for the plan's own where its stores are not made yet.
        """
        record = {"version": VERSION, **self.record()}
        if features is not None:
            record["features"] = dict(features)
        if self.model in MODEL_VERSIONS:
            record["model_version"] = MODEL_VERSIONS[self.model]
        if self.parts:
            record["parts"] = [part.key() for part in self.parts]
        # Settings of where and how to compute do not make another run.
        for name in self.train.WHERE_AND_HOW:
            del record["settings"]["train"][name]
        groups = [record["settings"]["train"], record["settings"]["model"]]
        if self.end_to_end is not None:
            groups.append(record["end_to_end"]["settings"])
            del record["end_to_end"]["settings"]["encoder_chunk"]
        for settings in groups:
            for name, value in ADDED_LATER.items():
                if settings.get(name) == value:
                    del settings[name]
        return fingerprint(record)

    def folder(self, workspace: WorkspaceFolders, name: str | None) -> Path:
        """The run's folder: the name the person gave, or one made from the plan."""
        return workspace.run(name or f"{self.dataset.name}-{self.model}-{self.key()[:8]}")


# Called with a plan that trains encoders, and the name given to its run, before the stores of the encoders'
# inputs are looked up: it may refuse the plan, and make the stores.
BeforeInputs = Callable[[RunPlan, str | None], None]


def options_of(model: str) -> set[str]:
    """The names of a model's settings; a model that is not trained has two of the training settings."""
    spec = model_spec(model)
    training = set(TrainSettings.model_fields) if spec.trained else {"device", "train_users_share"}
    if not issubclass(spec.settings, WindowSettings):
        training -= {"train_windows"}
    if spec.trained and spec.reads_content:
        training |= set(EndToEndSettings.model_fields)
    return training | set(spec.settings.model_fields)


def plan_run(
    workspace: WorkspaceFolders,
    chosen: RunSettings,
    config: Mapping[str, Any],
    typed: Mapping[str, Any],
    config_path: Path | None = None,
    before_inputs: BeforeInputs | None = None,
) -> RunPlan:
    """Resolve what the person asked for.

    `typed` are the options given, `config` those of the config file. What neither sets comes from the model's
    own defaults, and after these from the preset. Raises UsageError for an option that the chosen model does
    not have, and for missing data or features. All refusals that need no stores of encoder inputs come before
    `before_inputs`, which may take hours to make these.
    """
    spec = model_spec(chosen.model)
    if chosen.preset not in PRESETS:
        raise UsageError(f"--preset: {unknown_name('preset', chosen.preset, list(PRESETS))}")
    settable = options_of(chosen.model)
    _refuse_foreign(chosen.model, config, typed, settable, config_path)

    def settle(model: type[Model]) -> Model:
        def of(values: Mapping[str, Any]) -> dict[str, Any]:
            return {name: values[name] for name in values if name in model.model_fields and name in settable}

        # From the weakest to the strongest: the preset, the model's own defaults, the
        # config file, what is typed.
        usual = {**PRESETS[chosen.preset], **spec.defaults}
        return resolve(model, of(typed), of(usual) | of(config), config_path)

    train, model_settings = settle(TrainSettings), settle(spec.settings)
    if train.train_users_share != 1.0 and getattr(model_settings, "count_all", False):
        raise UsageError("--train-users-share: --count-all counts the actions of all users; leave one out")
    dataset = describe_dataset(workspace.choose_dataset(chosen.dataset))
    content = spec.reads_content or from_content(model_settings)
    if chosen.features and not content:
        raise UsageError(f"--features: {chosen.model} reads no content; leave the option out")
    encoders = settle(EndToEndSettings)
    if encoders.end_to_end:
        refuse_unfit(spec, model_settings, encoders)
        along = plan_end_to_end(encoders, chosen.features, train.seed)
        if "missing" in spec.settings.model_fields:
            # Vectors that move with their encoder have no mean that could stand for missing content.
            model_settings = resolve(spec.settings, {**dict(model_settings), "missing": "zero"})
        plan = RunPlan(chosen.model, dataset, [], train, model_settings, end_to_end=along)
        if before_inputs is not None:
            before_inputs(plan, chosen.run)
        return replace(plan, stores=input_stores(workspace, dataset, along))
    if more := encoders.changed():
        raise UsageError(f"{option_name(next(iter(more)))}: only with --end-to-end")
    # In one fixed order: `--features text image` and `--features image text` are the same run.
    stores = stores_of(workspace, dataset, chosen.features) if content else []
    stores.sort(key=lambda store: store.name)
    return RunPlan(chosen.model, dataset, stores, train, model_settings)


def _refuse_foreign(
    model: str,
    config: Mapping[str, Any],
    typed: Mapping[str, Any],
    settable: set[str],
    config_path: Path | None,
) -> None:
    """Raise UsageError for a typed option that the model does not have, and for an unknown key of the table.

    A config file may be for several models, so its table may hold training settings that this one leaves out.
    """
    own = model_spec(model).settings.model_fields
    for name in typed:
        if name not in settable:
            has = ", ".join(option_name(field) for field in own)
            raise UsageError(f"{option_name(name)}: {model} has no such option; it has {has}")
    known = {*TrainSettings.model_fields, *EndToEndSettings.model_fields, *own}
    for name in config:
        if name not in known:
            words = unknown_name("setting", name, sorted(known), "known here:")
            where = option_name(name) if config_path is None else f"--config {config_path}, {name}"
            raise UsageError(f"{where}: {words}")


def plan_asked(
    workspace: WorkspaceFolders,
    config: TrainConfig,
    typed: Mapping[str, Any],
    before_inputs: BeforeInputs | None = None,
) -> tuple[RunPlan, str | None]:
    """The plan, and the run's name if one is given, from the options `typed` and the config table [train].

    Raises UsageError as `plan_run` does.
    """
    own = set(RunSettings.model_fields)
    model = typed.get("model") or config.common.get("model") or RunSettings.model_fields["model"].default
    values = config.common_to(model) | config.of_model(model)
    chosen = resolve(RunSettings, chosen_of(typed, own), chosen_of(values, own), config.path)
    rest, options = (chosen_of(given, set(given) - own) for given in (values, typed))
    return plan_run(workspace, chosen, rest, options, config.path, before_inputs), chosen.run


def chosen_of(values: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """The values of these names, in their order."""
    return {name: value for name, value in values.items() if name in names}


def stores_of(workspace: WorkspaceFolders, dataset: DatasetInfo, names: tuple[str, ...]) -> list[StoreInfo]:
    """The feature stores of these names.

    Raises ArtifactError for one made for other items, UsageError where there is none, and what to do then.
    """
    folder = workspace.features(dataset.name)
    if not has_stores(folder) and not modalities_of(dataset.folder / ITEMS_FILE):
        raise UsageError(
            f"data set {dataset.name} has neither texts nor pictures, and the model reads item content; "
            "train one that reads none, such as --model rank-id, or bring vectors: tssr features import"
        )
    stores = choose_stores(folder, names)
    for store in stores:
        store.refuse_other_items(dataset.manifest["tables"][ITEMS_FILE]["sha256"])
    return stores


def window_of(plan: RunPlan) -> int:
    """The number of actions that the plan's model reads; the data set's window for a model without one."""
    if plan.parts:
        return max(window_of(part) for part in plan.parts)
    return getattr(plan.model_settings, "length", None) or int(plan.dataset.manifest["window"])
