"""Settings are frozen pydantic models; each field has a default and a sentence that explains it.

A value comes from an option on the command line, else from the TOML file of `--config`, else from the
default. Unknown keys are refused, and every message names the option or key as the person typed it.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from .errors import UsageError
from .words import nearest_name, unknown_name

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound="Settings")

Verbatim = Annotated[str, "may hold commas"]  # a value of an option that takes several, never split


class Settings(BaseModel):
    """Base of all settings: frozen, unknown keys forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _paths(cls, value: Any) -> Any:
        """Path objects are texts, and ~/ is the home folder where no shell saw it: in Python and in TOML."""
        return type(value)(map(_path_text, value)) if type(value) in (list, tuple) else _path_text(value)

    def record(self) -> dict[str, Any]:
        """The settings as plain JSON values, for run folders and fingerprints."""
        return self.model_dump(mode="json")

    def changed(self) -> dict[str, Any]:
        """The fields whose values differ from their defaults."""
        return {
            name: getattr(self, name)
            for name, field in type(self).model_fields.items()
            if getattr(self, name) != field.get_default(call_default_factory=True)
        }


def _path_text(value: Any) -> Any:
    """A path, as an object or as a text that begins with ~/, as a text; any other value as it is."""
    text = str(value) if isinstance(value, PurePath) else value
    return str(Path(text).expanduser()) if isinstance(text, str) and text.startswith("~/") else text


def option_name(field: str) -> str:
    """`learning_rate` as the person types it: `--learning-rate`."""
    return "--" + field.replace("_", "-")


def option_words(values: Mapping[str, Any]) -> list[str]:
    """Settings as the words of a command.

    >>> option_words({"dropout": 0.1, "input_norm": False, "topk": (10, 20)})
    ['--dropout', '0.1', '--no-input-norm', '--topk', '10', '--topk', '20']
    """
    words: list[str] = []
    for name, value in values.items():
        option = option_name(name)
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        elif isinstance(value, tuple):
            words += [word for entry in value for word in (option, str(entry))]
        else:
            words += [option, str(value)]
    return words


def as_options(values: Mapping[str, Any]) -> str:
    """Settings as a person types them.

    >>> as_options({"learning_rate": 0.001, "dropout": 0.1})
    '--learning-rate 0.001 --dropout 0.1'
    """
    return shlex.join(option_words(values))


def read_config(path: Path) -> dict[str, Any]:
    """Read a TOML file; raises UsageError that names the file and the place of a syntax error."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UsageError(f"--config {path}: there is no such file") from None
    except ValueError as error:  # no UTF-8, or no TOML
        raise UsageError(f"--config {path}: not a TOML file: {error}") from None
    except RecursionError:
        raise UsageError(f"--config {path}: its values are nested too deeply") from None
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from None


# What a value should be, by pydantic's name for what is wrong with it; {…} are values of its context, such as
# the bound that is broken. Its sentences speak of Python ("a valid tuple"), and differ between its versions.
_SHOULD = {
    "int_type": "should be a valid integer",
    "int_parsing": "should be a valid integer",
    "int_parsing_size": "should be a valid integer of less than 4,300 digits",
    "int_from_float": "should be a valid integer",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "finite_number": "should be a finite number",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "string_type": "should be text",
    "path_type": "should be a path",
    "tuple_type": "should be a list, as in [10, 20]",
    "dict_type": "should be a table",
    "literal_error": "should be {expected}",
    "greater_than": "should be greater than {gt}",
    "greater_than_equal": "should be greater than or equal to {ge}",
    "less_than": "should be less than {lt}",
    "less_than_equal": "should be less than or equal to {le}",
    "too_short": "should have at least {min_length} entries",
    "value_error": "{error}",  # of our own validators, which say it whole
}


def _should(item: ErrorDetails) -> str:
    """One problem in words; in pydantic's own where its kind is none of ours."""
    words = _SHOULD.get(item["type"])
    if words is None:
        return item["msg"]
    # A bound of a float is 1.0 there and 1 in the words a person expects.
    bounds = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in item.get("ctx", {}).items()
    }
    return words.format_map(bounds)


def _words(error: ValidationError, known: Sequence[str], origin: Mapping[str, str]) -> str:
    lines = []
    for item in error.errors(include_url=False):
        key = str(item["loc"][0]) if item["loc"] else ""
        source = origin.get(key, option_name(key))
        if item["type"] == "extra_forbidden":
            lines.append(f"{source}: {unknown_name('setting', key, sorted(known), 'known here:')}")
        else:
            message = _should(item)
            given = f", not {item['input']!r}" if key else ""
            if item["type"] == "literal_error":  # its "expected" is "'table', 'tied' or 'content'"
                given += nearest_name(str(item["input"]), re.findall("'([^']+)'", item["ctx"]["expected"]))
            lines.append(f"{source}: {message}{given}" if key else message)
    return "; ".join(lines)


def resolve(
    model: type[Model],
    options: Mapping[str, Any],
    config: Mapping[str, Any] | None = None,
    config_path: Path | None = None,
) -> Model:
    """Build `model` from `options` (only those the person typed) over `config` over the defaults.

    Raises UsageError with all problems in one line.
    """
    table = dict(config or {})
    origin = {
        key: option_name(key) if config_path is None else f"--config {config_path}, {key}" for key in table
    }
    origin |= {key: option_name(key) for key in options}
    try:
        return model.model_validate({**table, **options})
    except ValidationError as error:
        raise UsageError(_words(error, list(model.model_fields), origin)) from None
