"""Options of all commands: made from settings classes, and their values over those of a config file."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import click
from click.core import ParameterSource
from pydantic.fields import FieldInfo

from ...core.errors import UsageError
from ...core.settings import Model, Settings, Verbatim, option_name, read_config, resolve
from ...core.workspace import WorkspaceFolders
from ...model.registry import MODELS, own_default
from ...model.settings import TrainSettings
from . import COMMANDS
from .stage_command import Choice, ManyOf

STAGE_OPTIONS = ("workspace", "config", "force", "as_json", "debug")  # of `stage_options`, by parameter

Function = TypeVar("Function", bound=Callable[..., Any])


def _flatten(ctx: click.Context, param: click.Parameter, value: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    """All values in order: equal texts may stand for different things (`--weights random random`)."""
    return tuple(entry for group in value for entry in group)


def _distinct(ctx: click.Context, param: click.Parameter, value: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    """All values in order, each once: `--topk 10 10` is `--topk 10`."""
    return tuple(dict.fromkeys(_flatten(ctx, param, value)))


class SettingsOption(click.Option):
    """An option made from a settings field; the help lists it under the title of its settings."""

    section = ""


def _click_type(annotation: Any) -> click.ParamType[Any]:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        (annotation,) = [a for a in get_args(annotation) if a is not type(None)]
    if get_origin(annotation) is Literal:
        return Choice([str(a) for a in get_args(annotation)])
    if get_origin(annotation) is tuple:
        (value, _) = get_args(annotation)
        return ManyOf(_click_type(value), whole=value is Verbatim)
    simple: dict[Any, click.ParamType[Any]] = {int: click.INT, float: click.FLOAT, str: click.STRING}
    if annotation is Path:
        return click.Path(path_type=Path)
    return simple[annotation]


def _in_words(default: Any) -> str:
    """A default as the help shows it; "" for none, which the description of the setting explains."""
    if default is None or default == ():
        return ""
    if isinstance(default, bool):
        return "on" if default else "off"
    return " ".join(str(entry) for entry in default) if isinstance(default, tuple) else str(default)


def _own_defaults(owner: type[Settings], name: str, shown: str) -> str:
    """The models whose default of a setting is another than the one `shown`, as words of its help.

    Example: " [esasrec and unisrec: tied]" for --head, of which `table` is shown. "" for a setting that is
    neither of training nor of models, such as the batch size of extract-features.
    """
    if owner is not TrainSettings and not any(issubclass(spec.settings, owner) for spec in MODELS.values()):
        return ""
    models: dict[str, list[str]] = {}
    for model, spec in MODELS.items():
        if name not in {*spec.settings.model_fields, *(TrainSettings.model_fields if spec.trained else ())}:
            continue
        default = _in_words(own_default(spec, name))
        if default and default != shown:
            models.setdefault(default, []).append(model)
    return "".join(f" [{' and '.join(names)}: {value}]" for value, names in models.items())


def _option(name: str, field: FieldInfo, owner: type[Settings]) -> SettingsOption:
    default = _in_words(field.get_default(call_default_factory=True))
    shown = (
        f" [default: {default}]" if default not in ("", "off") else ""
    )  # a switch is off unless it says so
    help_text = (field.description or "") + shown + _own_defaults(owner, name, default)
    if field.annotation is bool:
        flag = option_name(name)
        both = f"{flag}/--no-{flag[2:]}"  # a config file's true is overridden by --no-…
        return SettingsOption([both, name], is_flag=True, default=None, help=help_text)
    kind = _click_type(field.annotation)
    if isinstance(kind, ManyOf):
        one = kind.value_type
        metavar = f"[{'|'.join(one.choices)}] …" if isinstance(one, click.Choice) else f"{one.name.upper()} …"
        return SettingsOption(
            [option_name(name), name],
            type=kind,
            multiple=True,
            callback=_flatten if kind.value_type is click.STRING else _distinct,
            metavar=metavar,
            help=help_text,
        )
    return SettingsOption([option_name(name), name], type=kind, default=None, help=help_text)


def _declaring(model: type[Settings], field: str) -> type[Settings]:
    """The class that a field comes from: `model` or one it inherits from."""
    owners = [base for base in model.__mro__ if issubclass(base, Settings) and field in base.model_fields]
    return owners[-1]


def settings_options(*models: type[Settings]) -> Callable[[click.Command], click.Command]:
    """Give a command one option for each field of `models`; a field that several share appears once."""

    def decorate(command: click.Command) -> click.Command:
        known = {param.name for param in command.params}
        for model in models:
            for name, field in model.model_fields.items():
                if name not in known:
                    owner = _declaring(model, name)
                    option = _option(name, field, owner)
                    option.section = owner.model_config.get("title") or ""
                    command.params.append(option)
                    known.add(name)
        return command

    return decorate


def typed(ctx: click.Context) -> dict[str, Any]:
    """The options that the person typed, by name; what came from defaults is left out."""
    sources = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    return {name: value for name, value in ctx.params.items() if ctx.get_parameter_source(name) in sources}


def config_section(path: Path | None, command: str) -> dict[str, Any]:
    """The table of `--config` that belongs to `command`, for example `[train]`; {} where there is none.

    Raises UsageError for a table that is no command.
    """
    if path is None:
        return {}
    tables = read_config(path)
    for name, table in tables.items():
        if name not in COMMANDS or not isinstance(table, dict):
            raise UsageError(
                f"--config {path}: unknown key {name!r}; tables here are named {', '.join(COMMANDS)}"
            )
    return _with_fields(tables.get(command, {}))


def _with_fields(table: Mapping[str, Any]) -> dict[str, Any]:
    """Keys as fields, `max-epochs` as max_epochs; tables within a table keep their names."""
    return {
        **{key.replace("-", "_"): value for key, value in table.items() if not isinstance(value, dict)},
        **{key: _with_fields(value) for key, value in table.items() if isinstance(value, dict)},
    }


def settings_from(ctx: click.Context, model: type[Model], config: Mapping[str, Any]) -> Model:
    """Resolve `model` from the typed options over a config section; raises UsageError."""
    options = {name: value for name, value in typed(ctx).items() if name in model.model_fields}
    return resolve(model, options, config, ctx.params.get("config"))


def stage_options(
    *, workspace: str = "workspace", config: bool = True, force: bool = True
) -> Callable[[Function], Function]:
    """The options that all stages have; `workspace` is the default folder.

    `config` is False for a command without settings, `force` for one that never skips its work.
    """
    options = [
        click.option(
            "--workspace",
            type=click.Path(path_type=Path, file_okay=False),
            envvar="TSSR_WORKSPACE",
            default=Path(workspace),
            help=f"Folder for data sets, features and runs (or TSSR_WORKSPACE). [default: {workspace}]",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table."),
        click.option("--debug", is_flag=True, help="Show a traceback on errors."),
    ]
    if config:
        text = "TOML file with settings in a table named after the command; options override it."
        options.append(click.option("--config", type=click.Path(path_type=Path), help=text))
    if force:
        options.append(click.option("--force", is_flag=True, help="Do it again even though nothing changed."))

    def decorate(command: Function) -> Function:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def workspace_of(ctx: click.Context) -> WorkspaceFolders:
    """The workspace the person chose."""
    return WorkspaceFolders(Path(ctx.params["workspace"]))
