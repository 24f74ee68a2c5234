"""What `compare` and `tune` share: the option --try, and which of the options given are for training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from ...core.errors import UsageError
from ...core.settings import Model
from ..runs.settings import SourceSettings
from ..runs.train_table import TrainTable
from .options import STAGE_OPTIONS, Function, config_section, settings_from, typed


def try_option(help_text: str) -> Callable[[Function], Function]:
    """The option --try OPTION=VALUES, which gives the setting `tried`."""
    return click.option(
        "--try", "tried", multiple=True, metavar="OPTION=VALUES", callback=_tried, help=help_text
    )


def _tried(_ctx: click.Context, _param: click.Parameter, texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`learning-rate=3e-4,1e-3` as {"learning_rate": ("3e-4", "1e-3")}."""
    tried = {}
    for text in texts:
        name, equals, values = text.partition("=")
        parts = tuple(part.strip() for part in values.split(",") if part.strip())
        if not (name and equals and parts):
            raise UsageError(f"--try {text}: write it as in --try learning-rate=3e-4,1e-3")
        tried[name.strip().removeprefix("--").replace("-", "_")] = parts
    return tried


def _tried_in_config(table: object, where: str) -> dict[str, Any]:
    if isinstance(table, dict) and all(isinstance(values, list) and values for values in table.values()):
        return table
    raise UsageError(f"{where}: give each option a list of values, as in learning-rate = [3e-4, 1e-3]")


def search_settings(ctx: click.Context, model: type[Model], table: TrainTable) -> Model:
    """The command's own settings: options over its table in --config over [train]'s data set and features."""
    own = config_section(ctx.params["config"], str(ctx.info_name))
    if "try" in own:
        own["tried"] = _tried_in_config(
            own.pop("try"), f"--config {ctx.params['config']}, [{ctx.info_name}.try]"
        )
    shared = {name: value for name, value in table.common.items() if name in SourceSettings.model_fields}
    return settings_from(ctx, model, shared | own)


def training_options(ctx: click.Context, model: type[Model]) -> dict[str, Any]:
    """The options typed that are for training, those of the data set and its features among them."""
    other = {"model", *STAGE_OPTIONS, *model.model_fields} - set(SourceSettings.model_fields)
    return {name: value for name, value in typed(ctx).items() if name not in other}
