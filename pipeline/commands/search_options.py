"""What the commands `compare` and `tune` share: the option --try, and what was typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from ...core.errors import UsageError
from .options import STAGE_OPTIONS, Function, config_section, typed


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


def own_config(ctx: click.Context) -> dict[str, Any]:
    """The command's table in --config, its values to try as the setting `tried`."""
    own = config_section(ctx.params["config"], str(ctx.info_name))
    if "try" in own:
        own["tried"] = _tried_in_config(
            own.pop("try"), f"--config {ctx.params['config']}, [{ctx.info_name}.try]"
        )
    return own


def given_options(ctx: click.Context) -> dict[str, Any]:
    """The options typed, but for those that all stages have."""
    return {name: value for name, value in typed(ctx).items() if name not in STAGE_OPTIONS}
