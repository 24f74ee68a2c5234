"""Training what a comparison compares: all trials at the first seed, the chosen ones at the others too."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.schema import SELECTION_METRIC
from ...core.settings import as_options
from ...core.workspace import WorkspaceFolders
from .contenders import Contender, Trial
from .settings import CompareSettings
from .training_pool import ContenderRuns, TrainedRun, TrainingPool


def train_and_choose(
    workspace: WorkspaceFolders, settings: CompareSettings, contenders: Sequence[Contender]
) -> list[ContenderRuns]:
    """Train every trial at the first seed, choose, and train what was chosen at the other seeds."""
    more = [settings.seeds - 1 if contender.trained else 0 for contender in contenders]
    pool = TrainingPool(workspace, settings.jobs, sum(len(e.trials) for e in contenders) + sum(more))
    first = [(_label(e, trial, 0), trial.plan) for e in contenders for trial in e.trials]
    tried = _split(pool.train(first), [len(e.trials) for e in contenders])
    choices = [_best(runs) for runs in tried]
    rest = []
    more = [0 if choice is None else count for choice, count in zip(choices, more, strict=True)]
    for contender, choice, count in zip(contenders, choices, more, strict=True):
        if choice is None:
            continue
        trial = contender.trials[choice]
        rest += [
            (_label(contender, trial, seed), contender.plan(trial, seed)) for seed in range(1, count + 1)
        ]
    others = _split(pool.train(rest), more)
    return [
        ContenderRuns(own, choice, [] if choice is None else [own[choice], *also])
        for own, choice, also in zip(tried, choices, others, strict=True)
    ]


def _label(contender: Contender, trial: Trial, seed: int) -> str:
    values = dict(trial.values)
    if contender.trained:
        values["seed"] = trial.plan.train.seed + seed
    return f"{contender.name} {as_options(values)}".rstrip()


def _split(runs: Sequence[TrainedRun], sizes: Sequence[int]) -> list[list[TrainedRun]]:
    parts, first = [], 0
    for size in sizes:
        parts.append(list(runs[first : first + size]))
        first += size
    return parts


def _best(runs: Sequence[TrainedRun]) -> int | None:
    """The run with the best validation NDCG@10, the first of equals; None where all diverged."""
    ended = [i for i, run in enumerate(runs) if run.diverged is None]
    return max(ended, key=lambda i: runs[i].result[SELECTION_METRIC], default=None)
