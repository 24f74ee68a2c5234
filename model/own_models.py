"""Models that a user of tssr writes and registers, and how other processes find them.

A registered model is a name like `tssr` or `sasrec-id` for every stage. The commands, and the processes in
which `compare` trains, import the modules that the environment variable TSSR_MODELS lists, for example
TSSR_MODELS=my_models, and there the call of `register_model` stands.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..core.errors import UsageError
from ..core.settings import Settings
from .registry import MODELS, ModelSpec
from .settings import WindowSettings

VARIABLE = "TSSR_MODELS"
_NOT_OWN = (__name__.partition(".")[0], "pydantic", "builtins")  # packages whose versions tell what they are
_NAME = re.compile(r"[a-z][a-z0-9-]*")
Builder = TypeVar("Builder", bound=Callable[..., object])


def register_model(
    name: str,
    *,
    title: str | None = None,
    settings: type[Settings] = WindowSettings,
    reads_content: bool = False,
    trained: bool = True,
) -> Callable[[Builder], Builder]:
    """Decorate a model's class, or a function that builds one, so that `name` trains and compares like any.

    It is called with the materials (`tssr.model.materials.Materials`: sizes, content, train histories) and an
    instance of `settings`, whose fields become options, and returns a recommender
    (`tssr.model.recommender` says what that is). `title` is how tables call it. Registering a name again
    replaces what stood there. Raises UsageError for a name that tssr has itself, or that is no name.
    """
    if not isinstance(name, str):
        raise UsageError(
            f"register_model needs a name: write @tssr.register_model('my-model') above {name.__name__}"
        )
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"register_model({name!r}): use small letters, digits and '-', starting with a letter"
        )
    if name in MODELS and not MODELS[name].module:
        raise UsageError(f"register_model({name!r}): tssr has a model of that name; choose another")

    def register(builder: Builder) -> Builder:
        MODELS[name] = ModelSpec(
            title or name,
            settings,
            builder,
            reads_content,
            trained,
            module=builder.__module__,
            code=_fingerprint(builder, settings),
        )
        return builder

    return register


def _fingerprint(builder: Callable[..., object], settings: type[Settings]) -> str:
    """A hash of the model's code, so that changed code is another run; "" where there is no source.

    It is of the files in which the builder and its settings are defined, so that a changed helper beside the
    class counts too. What these files import is not followed.
    """
    own = [of for of in settings.__mro__ if of.__module__.partition(".")[0] not in _NOT_OWN]
    sources = dict.fromkeys([_source(builder), *map(_source, own)])  # each file once
    text = "\n".join(source for source in sources if source)
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def _source(of: Callable[..., object]) -> str:
    """The file of the module that defines `of`; its own source in a notebook or script; "" for neither.

    A notebook has no file, and a script's file changes with every call of tssr in it.
    """
    module = sys.modules.get(of.__module__)
    try:
        whole = module is not None and of.__module__ != "__main__"
        return inspect.getsource(module if whole and module is not None else of)
    except (OSError, TypeError):
        return ""


def load_own_models() -> None:
    """Import the modules that TSSR_MODELS lists; raises UsageError for one that cannot be imported."""
    for module in filter(None, (part.strip() for part in os.environ.get(VARIABLE, "").split(","))):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UsageError(
                f"{VARIABLE}: could not import {module!r} ({error}); name one that Python finds"
            ) from None


def refuse_unreachable(model: str) -> None:
    """Raise UsageError for a model of a notebook or script, which no other process could import."""
    if MODELS[model].module == "__main__":
        raise UsageError(
            f"model {model} is registered in a notebook or script, which the processes that train it could "
            "not import; write it into a file of its own, such as my_models.py, and import that"
        )


def environment() -> dict[str, str]:
    """What a process needs in its environment to know the models registered here; {} where there are none."""
    modules = [spec.module for spec in MODELS.values() if spec.module not in ("", "__main__")]
    if not modules:
        return {}
    files = {module: getattr(sys.modules.get(module), "__file__", None) for module in modules}
    roots = [str(Path(file).resolve().parents[module.count(".")]) for module, file in files.items() if file]
    paths = [*roots, os.environ.get("PYTHONPATH", "")]
    return {
        VARIABLE: ",".join(dict.fromkeys(modules)),
        "PYTHONPATH": os.pathsep.join(filter(None, dict.fromkeys(paths))),
    }
