"""The contenders of a comparison: for each model its plan, and its trials, the settings from --try."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ...core.errors import UsageError
from ...core.settings import Model, option_name, resolve
from ...core.workspace import WorkspaceFolders
from ...features.modality import RANDOM
from ...model.own_models import refuse_unreachable
from ...model.registry import BLENDED, model_spec, own_defaults
from ...model.settings import TrainSettings
from ..runs.before_inputs import refuse_untrainable
from ..runs.end_to_end import refuse_unfit
from ..runs.end_to_end_settings import EndToEndSettings
from ..runs.plan import RunPlan, chosen_of, options_of, plan_run
from ..runs.settings import RunSettings, SourceSettings
from ..runs.train_config import TrainConfig
from .listed_models import models_to_train
from .settings import CompareSettings

_SOURCES = set(SourceSettings.model_fields)
_OF_THE_TRAIN_COMMAND = set(RunSettings.model_fields) - _SOURCES  # compare chooses models and folders itself


@dataclass(frozen=True)
class Trial:
    """One combination of the values to try; `plan` is for the first seed."""

    values: dict[str, Any]
    plan: RunPlan


@dataclass(frozen=True)
class Contender:
    """One line of the comparison's table: a model to train, or without trials the lists of a file."""

    name: str
    title: str
    model: str
    trials: list[Trial]

    def plan(self, trial: Trial, seed: int) -> RunPlan:
        """What is trained for `trial` with the seed that is `seed` after the first."""
        return with_values(trial.plan, {"seed": trial.plan.train.seed + seed})

    def trained_once(self) -> Contender:
        """The same contender, trained under the other name of its model, so that one training serves both."""
        other = self.same_as
        if other is None:
            return self
        plans = [replace(trial, plan=replace(trial.plan, model=other)) for trial in self.trials]
        return replace(self, trials=plans)

    @property
    def same_as(self) -> str | None:
        """The model of which this is another name (mv-trm is sasrec-hybrid); None for most models."""
        return model_spec(self.model).same_as if self.trials and self.model != BLENDED else None

    @property
    def own_defaults(self) -> list[str]:
        """The settings in which the model trains by a default that differs from that of models like it.

        Example: ["head", "input_norm"] for unisrec. One that was given another value does not count.
        """
        if not self.trials or self.model == BLENDED or not self.trained:
            return []
        plan = self.trials[0].plan
        own, values = own_defaults(plan.spec), dict(plan.train) | dict(plan.model_settings)
        return [name for name, value in own.items() if values[name] == value]

    @property
    def trained(self) -> bool:
        """Whether a seed can change its results."""
        return model_spec(self.model).trained


def plan_contenders(
    workspace: WorkspaceFolders, settings: CompareSettings, config: TrainConfig, typed: Mapping[str, Any]
) -> list[Contender]:
    """Plan every listed model; `models_to_train` says which these are.

    An option for all models (typed, tried or in [train]) is left out for a model that does not have it.
    Raises UsageError for a name that is no model, and for an option that none of the models has.
    """
    models = models_to_train(workspace, settings, config, typed)
    known = {name: options_of(model) for name, model in models.items()}
    given = (
        ("", typed),
        ("--try ", settings.tried),
        (f"--config {config.path}, [train] ", set(config.common) - _OF_THE_TRAIN_COMMAND),
    )
    everybody = _SOURCES.union(*known.values())
    for origin, names in given:
        _refuse_unknown(origin, names, everybody, models)
    refuse_untriable(settings.tried, typed)
    contenders = []
    for name, model in models.items():
        refuse_unreachable(model)
        own = config.of_model(name)
        values = chosen_of(config.common, known[name]) | {key: own[key] for key in own if key not in _SOURCES}
        mine = chosen_of(typed, known[name])
        content = model_spec(model).reads_content or (values | mine).get("item_start") == "content"
        chosen = _sources(model, settings, own, typed, content=content)
        plan = plan_run(workspace, chosen, values, mine, config.path, partial(refuse_untrainable, workspace))
        title = plan.title if name == model else plan.title.replace(model_spec(model).title, name)
        trials = _trials(plan, chosen_of(settings.tried, known[name]))
        contenders.append(Contender(name, title, model, trials))
    if "features" in typed and not any(contender.trials[0].plan.stores for contender in contenders):
        raise UsageError(f"--features: none of {', '.join(models)} reads content; leave the option out")
    return contenders


def with_values(plan: RunPlan, values: Mapping[str, Any]) -> RunPlan:
    """The plan with some settings changed; raises UsageError for a value that is not allowed.

    Also for another seed where it would draw another encoder, whose inputs are in another store.
    """

    def changed(settings: Model) -> Model:
        mine = {name: value for name, value in values.items() if name in type(settings).model_fields}
        return resolve(type(settings), dict(settings) | mine)

    train, along = changed(plan.train), plan.end_to_end
    of_encoders = [name for name in values if name in EndToEndSettings.model_fields]
    if along is None and of_encoders:
        raise UsageError(f"{option_name(of_encoders[0])}: only with --end-to-end")
    if along is not None:
        along = replace(along, settings=changed(along.settings))
    if along is not None and train.seed != along.seed:
        if RANDOM in along.settings.weights:
            raise UsageError(
                f"--weights {RANDOM}: with another seed it is another encoder; compare with --seeds 1 and no "
                "blends, or give weights"
            )
        along = replace(along, seed=train.seed)
    model_settings = changed(plan.model_settings)
    if along is not None:
        refuse_unfit(plan.spec, model_settings, along.settings)
    return replace(plan, train=train, model_settings=model_settings, end_to_end=along)


def _refuse_unknown(origin: str, names: Iterable[str], known: set[str], models: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise UsageError(f"{origin}{option_name(name)}: none of {', '.join(models)} has such an option")


def refuse_untriable(tried: Iterable[str], given: Container[str]) -> None:
    """Raise UsageError for an option that cannot be chosen on validation, or is both tried and given."""
    for name in tried:
        if name in given:
            raise UsageError(f"--try {option_name(name)}: the option is given too; leave one out")
        if name == "count_all":
            raise UsageError("--try --count-all: it counts validation actions, so validation cannot judge it")
        if name == "seed":
            raise UsageError("--try --seed: the best of several seeds is chance; --seeds N averages them")
        untriable = set(EndToEndSettings.model_fields) - set(EndToEndSettings.TRIABLE)
        if name in {*_SOURCES, *TrainSettings.WHERE_AND_HOW, *untriable}:
            raise UsageError(
                f"--try {option_name(name)}: only options of training, of models, and of how an encoder is "
                "trained can be tried; for others "
                "make variants, tables [train.NAME] in --config"
            )


def _sources(
    model: str, settings: CompareSettings, own: Mapping[str, Any], typed: Mapping[str, Any], *, content: bool
) -> RunSettings:
    """Data set, features and preset: typed, else from the model's own table, else those for all.

    No features where a model uses no `content`.
    """
    values = {name: getattr(settings, name) for name in _SOURCES}
    values |= chosen_of(own, _SOURCES - set(typed))
    if not content:
        values["features"] = ()
    return resolve(RunSettings, {"model": model, **values})


def _trials(plan: RunPlan, tried: Mapping[str, Sequence[Any]]) -> list[Trial]:
    """Every combination of the tried values, the first option varying slowest."""
    trials = []
    for combination in itertools.product(*tried.values()):
        changed = with_values(plan, dict(zip(tried, combination, strict=True)))
        trials.append(Trial({name: changed.setting(name) for name in tried}, changed))
    return trials
