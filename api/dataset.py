"""A preprocessed data set as an object: its tables, and methods that extract features and train models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from ..core.dataset import describe_dataset, remake
from ..core.errors import ArtifactError, UsageError
from ..core.schema import INTERACTIONS_FILE, ITEMS_FILE, MANIFEST_FILE, USERS_FILE
from ..core.settings import resolve
from ..core.summary import Summary
from ..core.words import reason_of
from ..core.workspace import WorkspaceFolders, check_name
from ..evaluation.settings import EvaluateSettings
from ..features.settings import FeatureSettings, ImportSettings
from ..model.registry import MODELS
from ..model.settings import TrainSettings
from ..pipeline.compare.settings import CompareSettings
from ..pipeline.compare.tune_settings import TuneSettings
from ..pipeline.preprocess.manifest import funnel_rows
from ..pipeline.runs.end_to_end_settings import EndToEndSettings
from ..pipeline.runs.settings import RunSettings
from ..pipeline.runs.train_config import TrainConfig
from .frames import LISTS_FOLDER, VECTORS_FOLDER, stored_lists, stored_vectors
from .results import Result, as_tuple, html_table, measured_frame, spread
from .run import Run


class Dataset:
    """Canonical tables in a workspace; users are 0…U-1, items 1…N."""

    def __init__(self, folders: WorkspaceFolders, name: str, summary: Summary | None = None) -> None:
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
        return self._table(INTERACTIONS_FILE)

    @property
    def items(self) -> pl.DataFrame:
        """One row an item: its number, its outside id, text, image, and further columns of the source."""
        return self._table(ITEMS_FILE)

    @property
    def users(self) -> pl.DataFrame:
        """One row a user: its number and outside id."""
        return self._table(USERS_FILE)

    def _table(self, name: str) -> pl.DataFrame:
        """A table of the data set; raises ArtifactError where it is missing or damaged."""
        path = self.folder / name
        try:
            return pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ArtifactError(f"{path} cannot be read ({reason_of(error)}); {remake(self.name)}") from None

    def extract_features(self, *modalities: str, force: bool = False, **settings: Any) -> Result:
        """Encode pictures (`"image"`) or texts (`"text"`) into feature stores; as `tssr extract-features`.

        Settings are the command's options; `encoder` and `weights` are one a modality. Raises UsageError for
        an encoder that cannot be had, DataError where the data set has no such content.
        """
        from ..pipeline.extract.stage import extract_features

        self._refuse_another(settings)
        named = {"modality": modalities} if modalities else {}
        given = spread({**settings, **named}, FeatureSettings) | {"dataset": self.name}
        return Result(extract_features(self._folders, resolve(FeatureSettings, given), force=force))

    def import_features(
        self,
        modality: str,
        vectors: Any,
        *,
        ids: Any = None,
        key: str | None = None,
        name: str = "vectors",
    ) -> Result:
        """Write vectors made outside tssr into a feature store; as `tssr features import`.

        `vectors` are a table (Polars, pandas, Arrow) with a column of ids and columns of numbers or one of
        lists (`key` names it), an array (items, F) of float16 or float32, or the path of a file. `ids` is the
        name of a table's column (item_id where None), or the ids of an array's rows; an array without ids
        has one row for each item, in the order of `items`. `name` becomes a part of the store's name.
        Raises UsageError or DataError for vectors that fit no item, and for an id that stands there twice.
        """
        from ..pipeline.extract.import_vectors import import_features

        named = ids is None or isinstance(ids, str | Path)
        path = stored_vectors(vectors, None if named else ids, self._kept(VECTORS_FOLDER, name))
        given = {"modality": modality, "vectors": path, "key": key, "dataset": self.name}
        given |= {"ids": ids if ids is None else str(ids)} if named else {}
        return Result(import_features(self._folders, resolve(ImportSettings, given)))

    @property
    def features(self) -> Result:
        """The feature stores: encoder, dimension, items and which lack a vector; as `tssr features`."""
        from ..pipeline.extract.stores import list_features

        return Result(list_features(self._folders, self.name))

    def evaluate_lists(
        self, lists: Any, *, name: str = "lists", force: bool = False, **settings: Any
    ) -> pl.DataFrame:
        """Measure the lists or scores of any other system; as `tssr evaluate --lists`.

        `lists` are a table with columns user, item, and rank or score; or an array of all scores, with a row
        for each of `users` and a column for each of `items`; or the path of such a file. `name` is their name
        in the workspace. Returns one row for each history mask; settings are those of `Run.evaluate`.
        """
        from ..pipeline.runs.evaluate_lists import evaluate_lists

        chosen = resolve(EvaluateSettings, spread(settings, EvaluateSettings))
        path = stored_lists(lists, self._kept(LISTS_FOLDER, name))
        data = evaluate_lists(self._folders, path, self.name, chosen, force=force).data
        return measured_frame(data, {"lists": path.stem, "model": data["title"], "dataset": data["dataset"]})

    def train(self, model: str = "tssr", *, force: bool = False, make: bool = True, **settings: Any) -> Run:
        """Train a model; a finished run of the same settings is not trained again; as `tssr train`.

        Settings are the command's options: `features`, `preset`, `run` (the folder's name), those of training
        (`learning_rate`, `max_epochs`, …), the model's own, and with `end_to_end=True` those of the encoder
        that is trained along (`encoder`, `unfreeze`, …), whose inputs are extracted first unless `make` is
        False. Raises UsageError for one it does not have.
        """
        from ..pipeline.inputs.make_inputs import make_inputs
        from ..pipeline.runs.before_inputs import refuse_untrainable
        from ..pipeline.runs.plan import plan_asked
        from ..pipeline.runs.train import train

        self._refuse_another(settings)
        given = _training(settings) | {"model": model, "dataset": self.name}
        first = partial(make_inputs if make else refuse_untrainable, self._folders, force=force)
        plan, name = plan_asked(self._folders, NO_CONFIG, given, first)
        summary = train(self._folders, plan, name, force=force)
        return Run(self._folders, str(summary.data["run"]))

    def compare(
        self,
        models: Sequence[str] = ("all",),
        *,
        tried: Mapping[str, Sequence[Any]] | None = None,
        variants: Mapping[str, Mapping[str, Any]] | None = None,
        **settings: Any,
    ) -> Result:
        """Train several models with several seeds and compare them; as `tssr compare`.

        `tried` has values among which each model chooses on validation: `{"learning_rate": [3e-4, 1e-3]}`.
        `variants` correspond to the tables [train.NAME] of a config file: under a model's name settings of
        that model, under another name a variant (`{"deep": {"model": "tssr", "blocks": 4}}`) or a blend
        (`{"both": {"blend": ["sasrec-id", "content-knn"]}}`). Each run is a process of its own.
        """
        from ..pipeline.compare.blends import listed_blends
        from ..pipeline.compare.contenders import plan_contenders
        from ..pipeline.compare.stage import compare_models

        self._refuse_another(settings)
        if "model" in settings:
            raise UsageError(f"model={settings['model']!r}: compare takes several, models=[…]")
        given = {**_training(settings), **spread({**settings, "models": models}, CompareSettings)}
        own, training = _split(CompareSettings, given | self._tried(tried))
        chosen = resolve(CompareSettings, own)
        tables = _table_of(variants, "variants")
        config = TrainConfig.of(
            {name: dict(_table_of(tables[name], f"variants[{name!r}]")) for name in tables}, None
        )
        blends = listed_blends(chosen.models, config)
        contenders = plan_contenders(self._folders, chosen, config, training)
        return Result(compare_models(self._folders, chosen, contenders, blends))

    def tune(
        self, model: str = "tssr", *, tried: Mapping[str, Sequence[Any]] | None = None, **settings: Any
    ) -> Result:
        """Search a model's settings on validation, with optuna; as `tssr tune`."""
        from ..pipeline.compare.tune import plan_search, tune

        self._refuse_another(settings)
        given = {**_training(settings), **spread(settings, TuneSettings)}
        own, training = _split(TuneSettings, given | self._tried(tried))
        chosen = resolve(TuneSettings, own)
        plan = plan_search(self._folders, model, chosen, NO_CONFIG, training)
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

    def _kept(self, kind: str, name: str) -> Path:
        """Where a table or an array of this kind is kept, without an ending."""
        return self._folders.raw(self.name) / kind / check_name(name, "name=")

    def _refuse_another(self, settings: Mapping[str, Any]) -> None:
        """Raise UsageError for the option --dataset, which would be without effect here."""
        if settings.get("dataset", self.name) != self.name:
            other = settings["dataset"]
            raise UsageError(
                f"dataset={other!r}: this is {self.name!r}; Workspace.dataset({other!r}) is the other"
            )

    def _tried(self, tried: Mapping[str, Sequence[Any]] | None) -> dict[str, Any]:
        values = {name: as_tuple(value) for name, value in _table_of(tried, "tried").items()}
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


def _training(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of training, with one value where several may stand as a list of one."""
    models = [spec.settings for spec in MODELS.values()]
    return spread(settings, RunSettings, TrainSettings, EndToEndSettings, *models)


def _table_of(values: Mapping[str, Any] | None, what: str) -> Mapping[str, Any]:
    """A mapping as it is, and none as an empty one; raises UsageError for anything else."""
    if values is not None and not isinstance(values, Mapping):
        raise UsageError(f"{what} is a {type(values).__name__}; give a dict, from names to values")
    return values or {}


NO_CONFIG = TrainConfig.of({}, None)  # settings come from the call alone, not from a config file


def _split(model: type[Any], given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of the command itself, and those that are for training."""
    from ..pipeline.compare.searching import training_options

    own = {name: value for name, value in given.items() if name in model.model_fields}
    return own, training_options(given, model)
