"""Models that a user of tssr writes and registers, and how other processes find them.

A registered model is a name like `tssr` or `sasrec-id` for every stage. The commands, and the processes in
which `compare` trains, import the modules that the environment variable TSSR_MODELS lists, for example
TSSR_MODELS=my_models, and there the call of `register_model` stands.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
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

    It is of the files in which the builder and its settings are defined, and of the files that these import
    from their own folder or package, and so on. Not followed are installed packages, names that are computed
    (importlib), and files that are read by other means than an import.
    """
    bases = [of for of in settings.__mro__ if of.__module__.partition(".")[0] not in _NOT_OWN]
    own: list[Callable[..., object]] = [builder, *bases]
    imported = [source for of in own for source in _imported(of.__module__)]
    sources = dict.fromkeys([*map(_source, own), *imported])  # each file once
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


def _imported(module: str) -> list[str]:
    """The files of a module and of what it imports from beside it, and so on, in the order of their names.

    They are found by their names alone, so that the hash is the same whatever a process has imported.
    """
    if module == "__main__" or getattr(sys.modules.get(module), "__file__", None) is None:
        return []
    root, package = _root(module), module.partition(".")[0]
    # Beside an installed package lie all others, whose versions are not the model's.
    installed = root.name in ("site-packages", "dist-packages")
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        first, stem = name.partition(".")[0], root.joinpath(*name.split("."))
        files = [file for file in (stem / "__init__.py", stem.with_suffix(".py")) if file.is_file()]
        if name in found or not files or first in _NOT_OWN or (installed and first != package):
            continue
        found[name] = files[0].read_text(encoding="utf-8", errors="replace")
        waiting += _names(found[name], name if files[0].name == "__init__.py" else name.rpartition(".")[0])
    return [found[name] for name in sorted(found)]


def _names(source: str, package: str) -> list[str]:
    """The modules that a source imports, with the packages that hold them; some may be no modules.

    Example: `from a.b import c` gives a, a.b and a.b.c.
    """
    names: list[str] = []
    with contextlib.suppress(SyntaxError, ValueError, ImportError):  # a file that nobody could import
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                start = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                names += [f"{start}.{alias.name}" for alias in node.names]
    parts = [name.split(".") for name in names]
    return [".".join(part[:count]) for part in parts for count in range(1, len(part) + 1)]


def _root(module: str) -> Path:
    """The folder in which Python finds an imported module by its name."""
    file = Path(str(sys.modules[module].__file__)).resolve()
    return file.parents[module.count(".") + (file.name == "__init__.py")]


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
    there = [module for module in modules if getattr(sys.modules.get(module), "__file__", None)]
    roots = [str(_root(module)) for module in there]
    paths = [*roots, os.environ.get("PYTHONPATH", "")]
    return {
        VARIABLE: ",".join(dict.fromkeys(modules)),
        "PYTHONPATH": os.pathsep.join(filter(None, dict.fromkeys(paths))),
    }
