"""tssr: next-item recommendation from what users did and what items look and read like.

    import tssr
    shop = tssr.Workspace("workspace").preprocess(interactions=frame, user="user", item="item", time="when")
    run = shop.train("sasrec-id")
    run.evaluate(topk=[10, 20])

The names of `__all__` are the public interface; each is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .core.version import __version__

if TYPE_CHECKING:
    from .api.dataset import Dataset
    from .api.results import Result
    from .api.run import Run
    from .api.workspace import Workspace
    from .core.errors import ArtifactError, DataError, TssrError, UsageError
    from .model.own_models import register_model

__all__ = [
    "ArtifactError",
    "DataError",
    "Dataset",
    "Result",
    "Run",
    "TssrError",
    "UsageError",
    "Workspace",
    "__version__",
    "register_model",
]

_MODULES = {
    "Dataset": ".api.dataset",
    "Result": ".api.results",
    "Run": ".api.run",
    "Workspace": ".api.workspace",
    "register_model": ".model.own_models",
    **dict.fromkeys(("ArtifactError", "DataError", "TssrError", "UsageError"), ".core.errors"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module 'tssr' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
