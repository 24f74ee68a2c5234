"""Commands whose options take several values after one name, and whose help lists options by section."""

from __future__ import annotations

from typing import Any

import click

from ...core.words import nearest_name


class ManyOf(click.ParamType[Any]):
    """A type of option that takes several values, separated by commas or by spaces (see `StageCommand`).

    With `whole` a value is not split at commas, because paths may contain some.
    """

    def __init__(self, value_type: click.ParamType[Any], *, whole: bool = False) -> None:
        self.value_type = value_type
        self.whole = whole
        self.name = value_type.name

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """Split at commas, unless values may hold them, and convert each part."""
        parts = [str(value)] if self.whole else [part.strip() for part in str(value).split(",")]
        return tuple(self.value_type.convert(part, param, ctx) for part in parts if part)


class Choice(click.Choice[str]):
    """One of several names; the error for an unknown name suggests the nearest one."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Add the nearest name to click's words."""
        nearest = nearest_name(str(value), self.choices)
        return super().get_invalid_choice_message(value, ctx).removesuffix(".") + nearest


class StageCommand(click.Command):
    """A command whose `ManyOf` options also take several values: `--topk 10 20` is `--topk 10 --topk 20`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the options by section: first the command's own, then each settings class's."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, click.Argument):  # arguments are shown in the usage line
                continue
            record = param.get_help_record(ctx)
            if record is not None:
                title = getattr(param, "section", "") or "Options"
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat a `ManyOf` option's name before each further value, then parse as usual."""
        many = {name for p in self.params if isinstance(p.type, ManyOf) for name in p.opts}
        # In `tune --features image tssr` the last word is a possible value of the command's argument MODEL,
        # so it is not taken as a further value of --features.
        own = {
            name
            for p in self.params
            if isinstance(p, click.Argument) and isinstance(p.type, click.Choice)
            for name in p.type.choices
        }
        spread: list[str] = []
        current: str | None = None
        for arg in args:
            if arg.startswith("-") and not _is_number(arg):
                current, fresh = (arg if arg in many else None), True
            elif current is not None and not fresh and arg in own:
                current = None
            elif current is not None:
                if not fresh:
                    spread.append(current)
                fresh = False
            spread.append(arg)
        return super().parse_args(ctx, spread)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
