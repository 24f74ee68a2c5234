"""What `compare` and `tune` share: settings of their own, and which of the options given are for training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.settings import Model, resolve
from ..runs.settings import SourceSettings
from ..runs.train_config import TrainConfig


def search_settings(
    model: type[Model], given: Mapping[str, Any], own: Mapping[str, Any], config: TrainConfig
) -> Model:
    """The command's own settings: those `given`, over its `own` table in --config, over [train]'s sources."""
    mine = {name: value for name, value in given.items() if name in model.model_fields}
    shared = {name: value for name, value in config.common.items() if name in SourceSettings.model_fields}
    return resolve(model, mine, shared | dict(own), config.path)


def training_options(given: Mapping[str, Any], model: type[Model]) -> dict[str, Any]:
    """The options given that are for training, those of the data set and its features among them."""
    other = {"model", *model.model_fields} - set(SourceSettings.model_fields)
    return {name: value for name, value in given.items() if name not in other}
