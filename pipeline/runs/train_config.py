"""The table [train] of a config file: values for all models, and subtables with values for one model.

Example: [train] with `learning_rate = 1e-3`, and [train.tssr] with `lambda_user = 0`, which counts for tssr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import UsageError
from ...core.words import nearest_name, unknown_name
from ...model.registry import MODELS


@dataclass(frozen=True)
class TrainConfig:
    """`common` has the values for all models, `own` the subtable of each model or named variant of one.

    `path` is the file; None where the tables come from Python, or there are none.
    """

    common: dict[str, Any]
    own: dict[str, dict[str, Any]]
    path: Path | None

    @classmethod
    def of(cls, table: Mapping[str, Any], config_path: Path | None) -> TrainConfig:
        """Split the table; raises UsageError for one that belongs to no model."""
        own = {name: dict(value) for name, value in table.items() if isinstance(value, dict)}
        for name, values in own.items():
            where = place_of(name, config_path)
            if name in MODELS and values.get("model", name) != name:
                raise UsageError(
                    f"{where}: the table of {name} is of no other model; give the variant a name of its own"
                )
            if name in MODELS and "blend" in values:
                raise UsageError(f"{where}: blend makes no model; give the blend a name of its own")
            if name not in MODELS and "blend" not in values and values.get("model") not in list(MODELS):
                raise UsageError(
                    f"{where}: {name} is no model ({', '.join(MODELS)}); a "
                    "variant of one needs a key model, a blend of several a key blend"
                )
        common = {name: value for name, value in table.items() if name not in own}
        if "model" in common and common["model"] not in list(MODELS):
            nearest = nearest_name(str(common["model"]), MODELS)
            raise UsageError(f"--config {config_path}, model: should be one of {', '.join(MODELS)}{nearest}")
        return cls(common, own, config_path)

    @property
    def blends(self) -> list[str]:
        """The names of the tables that are blends of models."""
        return [name for name, values in self.own.items() if "blend" in values]

    def model_of(self, name: str) -> str:
        """The model behind a name: itself, or what the variant's table says.

        Raises UsageError for a name that is neither.
        """
        variants = [variant for variant in self.own if variant not in (*MODELS, *self.blends)]
        if name not in MODELS and name not in variants:
            unknown = unknown_name("model", name, ["all", *MODELS, *variants])
            raise UsageError(
                f"--models: {unknown}; a variant of a model is "
                f"a table [train.{name}] in --config with a key model"
            )
        model: str = name if name in MODELS else self.own[name]["model"]
        return model

    def common_to(self, model: str) -> dict[str, Any]:
        """The values for all models without those that only other models have."""
        own = MODELS[model].settings.model_fields if model in MODELS else {}
        others = {name for spec in MODELS.values() for name in spec.settings.model_fields} - set(own)
        return {name: value for name, value in self.common.items() if name not in others}

    def where(self, name: str) -> str:
        """Where the table of a model or variant stands, for a message."""
        return place_of(name, self.path)

    def of_model(self, name: str) -> dict[str, Any]:
        """The values of a model's or variant's own table."""
        return {key: value for key, value in self.own.get(name, {}).items() if key != "model"}


def place_of(name: str, config_path: Path | None) -> str:
    """Where a table stands: in a file, or among the variants that a call from Python gives."""
    return f"variants[{name!r}]" if config_path is None else f"--config {config_path}, [train.{name}]"
