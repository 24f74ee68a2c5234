"""A preprocessed data set: what features are made of it, and what models are trained on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from ..core.dataset import describe_dataset
from ..core.errors import UsageError
from ..core.schema import INTERACTIONS_FILE, ITEMS_FILE, MANIFEST_FILE, USERS_FILE
from ..core.settings import resolve
from ..core.summary import Summary
from ..core.workspace import Workspace as Folders
from ..features.settings import FeatureSettings
from ..pipeline.compare.settings import CompareSettings
from ..pipeline.compare.tune_settings import TuneSettings
from ..pipeline.preprocess.manifest import funnel_rows
from ..pipeline.runs.train_table import TrainTable
from .results import Result, html_table, spread
from .run import Run


class Dataset:
    """Canonical tables in a workspace; users are 0…U-1, items 1…N."""

    def __init__(self, folders: Folders, name: str, summary: Summary | None = None) -> None:
        self.name = name
        self.summary = None if summary is None else Result(summary)
        self._folders = folders

    @property
    def folder(self) -> Path:
        """Where the tables lie."""
        return self._folders.dataset(self.name)

    @property
    def interactions(self) -> pl.DataFrame:
        """One row an action: user, item, timestamp (seconds), position in the user's history from 0."""
        return pl.read_parquet(self.folder / INTERACTIONS_FILE)

    @property
    def items(self) -> pl.DataFrame:
        """One row an item: its number, its outside id, text, image, and further columns of the source."""
        return pl.read_parquet(self.folder / ITEMS_FILE)

    @property
    def users(self) -> pl.DataFrame:
        """One row a user: its number and outside id."""
        return pl.read_parquet(self.folder / USERS_FILE)

    def extract_features(self, *modalities: str, force: bool = False, **settings: Any) -> Result:
        """Encode pictures (`"image"`) or texts (`"text"`) into feature stores; as `tssr extract-features`.

        Settings are the command's options; `encoder` and `weights` are one a modality. Raises UsageError for
        an encoder that cannot be had, DataError where the data set has no such content.
        """
        from ..pipeline.extract.stage import extract_features

        given = spread(FeatureSettings, settings) | {"modality": modalities, "dataset": self.name}
        return Result(extract_features(self._folders, resolve(FeatureSettings, given), force=force))

    def train(self, model: str = "tssr", *, force: bool = False, **settings: Any) -> Run:
        """Train a model; a finished run of the same settings is not trained again; as `tssr train`.

        Settings are the command's options: `features`, `preset`, `run` (the folder's name), those of training
        (`learning_rate`, `max_epochs`, …) and the model's own. Raises UsageError for one it does not have.
        """
        from ..pipeline.runs.plan import plan_asked
        from ..pipeline.runs.settings import RunSettings
        from ..pipeline.runs.train import train

        given = spread(RunSettings, settings) | {"model": model, "dataset": self.name}
        plan, name = plan_asked(self._folders, NO_TABLE, given)
        summary = train(self._folders, plan, name, force=force)
        return Run(self._folders, str(summary.data["run"]))

    def compare(
        self,
        models: Sequence[str] = ("all",),
        *,
        tried: Mapping[str, Sequence[Any]] | None = None,
        **settings: Any,
    ) -> Result:
        """Train several models over seeds and lay them side by side; as `tssr compare`.

        `tried` gives options of which each model takes the best on validation: `{"learning_rate": [3e-4,
        1e-3]}`. Each run is a process of its own.
        """
        from ..pipeline.compare.contenders import plan_contenders
        from ..pipeline.compare.stage import compare_models

        given = spread(CompareSettings, settings) | {"models": tuple(models), **self._tried(tried)}
        own, training = _split(CompareSettings, given)
        chosen = resolve(CompareSettings, own)
        contenders = plan_contenders(self._folders, chosen, NO_TABLE, training)
        return Result(compare_models(self._folders, chosen, contenders))

    def tune(
        self, model: str = "tssr", *, tried: Mapping[str, Sequence[Any]] | None = None, **settings: Any
    ) -> Result:
        """Search a model's settings on validation, with optuna; as `tssr tune`."""
        from ..pipeline.compare.tune import plan_search, tune

        own, training = _split(TuneSettings, spread(TuneSettings, settings) | self._tried(tried))
        chosen = resolve(TuneSettings, own)
        plan = plan_search(self._folders, model, chosen, NO_TABLE, training)
        return Result(tune(self._folders, chosen, plan, list(training)))

    def export(self, output: str | Path, to: str) -> Result:
        """Write the data set as peers read it, `to` recbole or sequences; as `tssr export --to`."""
        from ..pipeline.export.settings import ExportSettings
        from ..pipeline.export.stage import export

        if to == "serving":
            raise UsageError(
                "to='serving' exports a run: run.export(output); a data set goes to recbole or sequences"
            )
        given = {"output": output, "to": to, "dataset": self.name}
        return Result(export(self._folders, resolve(ExportSettings, given)))

    def _tried(self, tried: Mapping[str, Sequence[Any]] | None) -> dict[str, Any]:
        values = {name: tuple(value) for name, value in (tried or {}).items()}
        return {"dataset": self.name, **({"tried": values} if values else {})}

    def __repr__(self) -> str:
        counts = describe_dataset(self.folder).manifest["counts"]
        said = f"{counts['users']:,} users, {counts['items']:,} items, {counts['actions']:,} actions"
        return f"Dataset({self.name!r}): {said}"

    def _repr_html_(self) -> str:
        info = describe_dataset(self.folder)
        notes = [f"Tables: {self.folder / MANIFEST_FILE}"]
        rows = funnel_rows(info.manifest["funnel"])
        return html_table(repr(self), ["step", "users", "items", "actions"], rows, notes)


NO_TABLE = TrainTable.of({}, None)  # settings come from the call alone, not from a config file


def _split(model: type[Any], given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of the command itself, and those that are for training."""
    from ..pipeline.compare.searching import training_options

    own = {name: value for name, value in given.items() if name in model.model_fields}
    return own, training_options(given, model)
