"""The tune stage: searches one model's settings for the best validation NDCG@10.

Optuna proposes the settings of each trial, a trial is a run of `tssr train` at one seed, and the study is an
SQLite file. The test split is not read. No combination of values is trained twice, so a search of at least as
many trials as there are combinations trains them all. A killed search resumes with the interrupted trial and
makes the same proposals as one that was never interrupted, because these depend only on the seed and the
finished trials.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.artifacts import fingerprint, write_text
from ...core.errors import ArtifactError, TssrError, UsageError, tells_full_disk
from ...core.lock import exclusive
from ...core.progress import note
from ...core.schema import SELECTION_METRIC
from ...core.settings import as_options, option_name, resolve
from ...core.summary import Summary
from ...core.words import reason_of
from ...core.workspace import WorkspaceFolders
from ...model.settings import TrainSettings
from ..runs.plan import RunPlan, options_of
from ..runs.settings import SourceSettings
from ..runs.train_config import TrainConfig
from .contenders import plan_contenders, refuse_untriable, with_values
from .settings import CompareSettings
from .training_pool import TrainingPool
from .tune_settings import TuneSettings, space_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

_RUN, _ERROR = "run", "error"  # attributes of a trial in the study: the run it trained, or why it failed
_SHOWN = 5  # of the best trials


def tune(workspace: WorkspaceFolders, settings: TuneSettings, plan: RunPlan, fixed: Sequence[str]) -> Summary:
    """Search the space around `plan`; the options `fixed` stay as they are there.

    Raises UsageError where the model has nothing to search, TssrError where optuna is missing or no trial can
    be trained.
    """
    space = _space(settings, plan, fixed)
    key = fingerprint({"plan": plan.key(), "space": space})[:8]
    path = workspace.root / "tuning" / f"{plan.dataset.name}-{plan.model}-{key}"
    with _open_study(path.with_name(f"{path.name}.db")) as study:
        _retake_interrupted(study)
        left = min(settings.trials, _combinations(space)) - len(_ended(study))
        pool = TrainingPool(workspace, 1, max(0, left))
        for _ in range(left):
            _try_next(study, pool, plan, space)
        return _written(path, study, plan, space, cached=left <= 0)


def plan_search(
    workspace: WorkspaceFolders,
    model: str,
    settings: TuneSettings,
    config: TrainConfig,
    typed: Mapping[str, Any],
) -> RunPlan:
    """The plan around which to search: the model as `tssr compare` would train it. Raises UsageError."""
    sources = {name: getattr(settings, name) for name in SourceSettings.model_fields}
    alone = resolve(CompareSettings, {"models": (model,), **sources})
    (contender,) = plan_contenders(workspace, alone, config, typed)
    return contender.trials[0].plan


def _space(settings: TuneSettings, plan: RunPlan, fixed: Sequence[str]) -> dict[str, list[Any]]:
    """The values to search, as the settings read them: those of --try, else the stated ones."""
    own, stated = options_of(plan.model), space_of(plan.model)
    wanted = settings.tried or {name: stated[name] for name in stated if name in own and name not in fixed}
    if not wanted:
        raise UsageError(f"{plan.model} has nothing to tune; say what with --try OPTION=VALUES")
    refuse_untriable(settings.tried, fixed)
    space = {}
    for name, values in wanted.items():
        if name not in own:
            raise UsageError(f"--try {option_name(name)}: {plan.model} has no such option")
        read = [with_values(plan, {name: value}).setting(name) for value in values]
        space[name] = list(dict.fromkeys(read))  # each value once
    return space


def _combinations(space: Mapping[str, list[Any]]) -> int:
    return math.prod(len(values) for values in space.values())


@contextmanager
def _open_study(path: Path) -> Iterator[Study]:
    """The study in the SQLite file `path`, made where there is none; a file that fails becomes one line."""
    try:
        import optuna
        from sqlalchemy import URL  # installed with optuna
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        raise TssrError("tssr tune needs optuna; install it with: pip install 'tssr[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = URL.create("sqlite", database=str(path)).render_as_string()
    try:
        # One process at a time: then a trial that the study has as running belongs to one that was killed.
        with exclusive(path.parent, path.stem):
            yield optuna.create_study(
                study_name=path.stem, storage=storage, direction="maximize", load_if_exists=True
            )
    except (
        SQLAlchemyError,
        optuna.exceptions.StorageInternalError,
        json.JSONDecodeError,  # the study keeps settings and results of trials as JSON
        RecursionError,  # which is nested too deeply
    ) as error:
        if "disk is full" in reason_of(error):  # SQLite's own words
            raise TssrError(
                f"the disk holding the study {path} is full; free space there, and the same command goes on"
            ) from None
        raise ArtifactError(
            f"the study {path} cannot be used ({reason_of(error)}); make it writable or delete it; "
            "finished trials are not trained again"
        ) from None


def _ended(study: Study) -> dict[frozenset[tuple[str, Any]], FrozenTrial]:
    """The trials that ended, well or not, by their values; of equal ones in older studies the first."""
    ended: dict[frozenset[tuple[str, Any]], FrozenTrial] = {}
    for trial in study.get_trials(deepcopy=False):
        if trial.value is not None or _ERROR in trial.user_attrs:
            ended.setdefault(frozenset(trial.params.items()), trial)
    return ended


def _succeeded(study: Study) -> list[FrozenTrial]:
    """The trials that have a value, the best first; the earlier of equals."""
    trials = [trial for trial in _ended(study).values() if trial.value is not None]
    return sorted(trials, key=lambda trial: (-(trial.value or 0.0), trial.number))


def _retake_interrupted(study: Study) -> None:
    """Queue again the trial that a killed search was training; its run resumes from the last checkpoint."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)


def _propose(study: Study, seed: int, space: Mapping[str, list[Any]]) -> tuple[Trial, dict[str, Any]]:
    """A trial with values that were not tried yet: those that the sampler proposes, or random ones.

    The sampler does not avoid what it proposed before, and training the same run again would teach nothing.
    """
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    def asked() -> tuple[Trial, dict[str, Any]]:
        trial = study.ask()
        return trial, {name: trial.suggest_categorical(name, choices) for name, choices in space.items()}

    ended = _ended(study)
    study.sampler = TPESampler(seed=seed + len(ended))
    trial, values = asked()
    if frozenset(values.items()) not in ended:
        return trial, values
    study.tell(trial, state=TrialState.FAIL)
    draw = random.Random(seed + len(ended))
    while frozenset(values.items()) in ended:
        values = {name: draw.choice(choices) for name, choices in space.items()}
    study.enqueue_trial(values)
    return asked()


def _try_next(study: Study, pool: TrainingPool, plan: RunPlan, space: Mapping[str, list[Any]]) -> None:
    """Train the next trial that is proposed.

    A trial that diverges counts as a failed trial. So does one that fails for another reason, but only once a
    trial has succeeded: before that, the reason probably holds for all trials, and the error is raised. A
    full disk is such a reason at any time.
    """
    from optuna.trial import TrialState

    trial, values = _propose(study, plan.train.seed, space)
    try:
        (trained,) = pool.train([(f"{plan.model} {as_options(values)}", with_values(plan, values))])
    except TssrError as error:
        counts = bool(_succeeded(study)) and not tells_full_disk(error)
        if counts:
            trial.set_user_attr(_ERROR, str(error))
        study.tell(trial, state=TrialState.FAIL)
        if not counts:
            raise
        note(str(error))
        return
    if trained.diverged is not None:
        trial.set_user_attr(_ERROR, trained.diverged)
        study.tell(trial, state=TrialState.FAIL)
        return
    trial.set_user_attr(_RUN, trained.folder.name)
    study.tell(trial, trained.result[SELECTION_METRIC])


def _written(
    path: Path, study: Study, plan: RunPlan, space: Mapping[str, list[Any]], *, cached: bool
) -> Summary:
    """Write the best settings as a config file and show the best trials."""
    trials = _succeeded(study)
    if not trials:
        raise TssrError(f"no trial of {plan.model} could be trained; see {path}.db, or --try other values")
    best = with_values(plan, trials[0].params)
    section = _toml(plan.model, best, space)
    write_text(path.with_name(f"{path.name}.toml"), section)
    rows = [
        [*(str(trial.params[name]) for name in space), f"{trial.value:.4f}", trial.user_attrs[_RUN]]
        for trial in trials[:_SHOWN]
    ]
    columns = [*(option_name(name) for name in space), "validation NDCG@10", "run"]
    ended = len(_ended(study))
    failed = ended - len(trials)
    told = f"{len(trials)} trials" + (f", {failed} failed" if failed else "")
    notes = [told + (": all combinations" if ended == _combinations(space) else ""), ""]
    notes += [*section.splitlines(), "", f"in {path}.toml, for --config of train and compare"]
    data = {
        "stage": "tune",
        "dataset": plan.dataset.name,
        "model": plan.model,
        "space": space,
        "best": trials[0].params,
        "config": f"{path}.toml",
        "trials": [
            {"values": trial.params, SELECTION_METRIC: trial.value, "run": trial.user_attrs[_RUN]}
            for trial in trials
        ],
        "failed": failed,
    }
    records = [
        {**trial.params, SELECTION_METRIC: trial.value, "run": trial.user_attrs[_RUN]} for trial in trials
    ]
    title = f"Tuned {plan.spec.title} on {plan.dataset.name}"
    return Summary(title, rows, data, columns, notes, cached, records)


def _toml(model: str, plan: RunPlan, searched: Iterable[str]) -> str:
    """What was searched, and the other settings where they differ from the defaults, for `--config`."""
    values = plan.options()
    values |= {name: plan.setting(name) for name in searched}
    lines = [
        f"{name.replace('_', '-')} = {json.dumps(value)}"
        for name, value in values.items()
        if name not in ("seed", *TrainSettings.WHERE_AND_HOW)
    ]
    return "\n".join([f"[train.{model}]", *lines]) + "\n"
