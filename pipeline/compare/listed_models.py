"""Which models a comparison trains: those listed, the parts of listed blends, and all that can be trained."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from ...core.progress import note
from ...core.workspace import WorkspaceFolders
from ...features.store import list_stores
from ...model.registry import MODELS, model_spec
from ..runs.train_config import TrainConfig
from .settings import ALL, CompareSettings


def models_to_train(
    workspace: WorkspaceFolders, settings: CompareSettings, config: TrainConfig, typed: Mapping[str, Any]
) -> dict[str, str]:
    """The model behind each name that must be trained: a blend stands for its parts, each once.

    Where the data set has no content vectors, `all` means the models that need none, and a note names those
    left out. A model that is named itself stays: planning it is refused with the cure.
    Raises UsageError for a name that is no model.
    """
    named = _parts([name for name in settings.models if name != ALL], config)
    models = {name: config.model_of(name) for name in _parts(settings.models, config)}
    if ALL not in settings.models or not _lacks_content(workspace, settings, config, typed):
        return models
    without = [
        name for name, model in models.items() if model_spec(model).reads_content and name not in named
    ]
    if without:
        note(
            f"left out: {', '.join(without)} read item content, and the data set has no features; "
            "tssr extract-features makes them"
        )
    return {name: model for name, model in models.items() if name not in without}


def _parts(names: Sequence[str], config: TrainConfig) -> list[str]:
    """The listed names with `all` written out and blends replaced by their parts."""
    listed = itertools.chain(*(MODELS if name == ALL else [name] for name in names))
    whole = [[name] if name not in config.blends else config.own[name]["blend"] for name in listed]
    return list(dict.fromkeys(itertools.chain(*whole)))


def _lacks_content(
    workspace: WorkspaceFolders, settings: CompareSettings, config: TrainConfig, typed: Mapping[str, Any]
) -> bool:
    """Whether the data set has no content vectors, though none were asked for and no encoder is trained."""
    if settings.features or any(
        "end_to_end" in given for given in (typed, config.common, *config.own.values())
    ):
        return False
    stores = list_stores(workspace.features(workspace.choose_dataset(settings.dataset).name))
    return all(store.kind != "vectors" for store in stores)
