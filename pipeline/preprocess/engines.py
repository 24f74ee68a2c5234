"""Which engine runs the steps of the protocol."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from ..raw.dump import Actions
from .action_log import collect
from .local_engine import LocalEngine
from .protocol import Engine
from .settings import PreprocessSettings


@contextmanager
def open_engine(
    settings: PreprocessSettings, batches: Iterable[Actions], usable: pl.Series, folder: Path
) -> Iterator[Engine]:
    """Read all actions into the engine of `settings`; `usable` are the ids of the items with content.

    Spark's files on their way lie in `folder`, which its workers must reach, and are deleted at the end.
    Raises UsageError where Spark is asked for and does not run here.
    """
    if settings.engine == "local":
        yield LocalEngine(collect(batches), usable)
        return
    from .spark_engine import SparkEngine, spark_session, spool

    work = folder / "spark"
    try:
        spool(batches, work / "log")
        with spark_session(settings.spark_master) as session:
            yield SparkEngine.read(session, work / "log", usable, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
