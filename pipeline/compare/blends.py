"""Blends in a comparison: made from the other contenders' runs at each seed, and compared with controls.

Blending two trainings of the same model with different seeds already improves it. So the control of a blend
of P parts is a blend of P trainings of one part; there is one for each trained part. Only a gain over these
controls comes from combining different models. Example: for a blend of sasrec-id and tssr the controls are
2 x sasrec-id and 2 x tssr. Trainings that a control needs in addition use the seeds after the comparison's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...core.errors import UsageError
from ...core.settings import option_words, resolve
from ...core.workspace import WorkspaceFolders
from ...model.registry import BLENDED
from ...model.settings import BlendSettings
from ..runs.blend import blend_runs, plan_blend
from ..runs.record import open_run
from ..runs.train_config import TrainConfig
from .contenders import Contender, Trial
from .settings import CompareSettings
from .training_pool import ContenderRuns, TrainedRun, TrainingPool


@dataclass(frozen=True)
class MixedContender:
    """A blend as a line of the table; a part that is named twice means two trainings with different seeds."""

    name: str
    parts: tuple[str, ...]
    settings: BlendSettings


def listed_blends(names: Sequence[str], config: TrainConfig) -> list[MixedContender]:
    """The blends among the listed names, with the settings of their tables.

    Raises UsageError for a blend of one part, of unknown parts or of other blends.
    """
    blends = []
    for name in names:
        if name not in config.blends:
            continue
        own = config.of_model(name)
        parts = own.pop("blend")
        where = config.where(name)
        if not isinstance(parts, list | tuple) or len(parts) < 2:
            raise UsageError(f'{where}: blend takes two models or more, as in blend = ["sasrec-id", "tssr"]')
        for part in parts:
            if part in config.blends:
                raise UsageError(f"{where}: {part} is a blend itself; list the models that it is made of")
            config.model_of(part)
        blends.append(MixedContender(name, tuple(parts), resolve(BlendSettings, {}, own, config.path)))
    return blends


def blend_all(
    workspace: WorkspaceFolders,
    settings: CompareSettings,
    blends: Sequence[MixedContender],
    trained: Mapping[str, tuple[Contender, ContenderRuns]],
) -> list[tuple[Contender, ContenderRuns]]:
    """Make the blends and their controls from the `trained` runs; trains further runs that controls need."""
    wanted = [*blends, *_controls(blends, trained)]
    runs = {name: _runs(workspace, settings, wanted, *of) for name, of in trained.items()}
    return [_blend(workspace, settings, mixed, trained, runs) for mixed in wanted]


def _controls(
    blends: Sequence[MixedContender], trained: Mapping[str, tuple[Contender, ContenderRuns]]
) -> list[MixedContender]:
    """The controls of a blend: for each trained part, a blend of as many trainings of that part alone."""
    controls = {}
    for blend in blends:
        for part in blend.parts:
            parts = (part,) * len(blend.parts)
            if trained[part][0].trained and not any(parts == other.parts for other in blends):
                name = f"{len(parts)} x {part}"
                controls[name] = MixedContender(name, parts, blend.settings)
    return list(controls.values())


def _runs(
    workspace: WorkspaceFolders,
    settings: CompareSettings,
    wanted: Sequence[MixedContender],
    contender: Contender,
    chosen: ContenderRuns,
) -> list[TrainedRun]:
    """A contender's runs at all seeds that blends need: those of the comparison, then further ones."""
    if chosen.choice is None or not contender.trained:
        return chosen.runs
    copies = max((mixed.parts.count(contender.name) for mixed in wanted), default=0)
    trial = contender.trials[chosen.choice]
    seeds = range(settings.seeds, settings.seeds * copies)
    pool = TrainingPool(workspace, settings.jobs, len(seeds))
    first = trial.plan.train.seed
    more = [(f"{contender.name} --seed {first + k}", contender.plan(trial, k)) for k in seeds]
    return [*chosen.runs, *pool.train(more)]


def _blend(
    workspace: WorkspaceFolders,
    settings: CompareSettings,
    mixed: MixedContender,
    trained: Mapping[str, tuple[Contender, ContenderRuns]],
    runs: Mapping[str, Sequence[TrainedRun]],
) -> tuple[Contender, ContenderRuns]:
    """One blend a seed; where a part diverged, its run stands in the blend's place and the blend is lost."""
    contenders = [trained[part][0] for part in mixed.parts]
    seeds = settings.seeds if any(contender.trained for contender in contenders) else 1
    made, plan = [], None
    for seed in range(seeds):
        used: Counter[str] = Counter()
        parts = []
        for contender in contenders:
            own, place = runs[contender.name], seed + used[contender.name] * settings.seeds
            used[contender.name] += 1
            parts.append(trained[contender.name][1].tried[0] if not own else own[place % len(own)])
        lost = [part for part in parts if part.diverged is not None]
        if lost:
            made.append(lost[0])
            continue
        device = contenders[0].trials[0].plan.train.device
        names = [part.folder.name for part in parts]
        summary = blend_runs(workspace, names, mixed.settings, device=device)
        folder = workspace.run(str(summary.data["run"]))
        plan = plan or plan_blend(
            [open_run(workspace, part.folder) for part in parts], mixed.settings, device
        )
        command = ["tssr", "blend", *names, "--workspace", str(workspace.root)]
        command += option_words(mixed.settings.changed())
        made.append(TrainedRun(folder, summary.data["result"], command, summary.cached))
    if plan is None:
        return Contender(mixed.name, mixed.name, BLENDED, []), ContenderRuns(made, None, [])
    contender = Contender(mixed.name, plan.title, BLENDED, [Trial({}, plan)])
    first = next(run for run in made if run.diverged is None)
    return contender, ContenderRuns([first], 0, made)
