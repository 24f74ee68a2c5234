"""The compare stage: a list of models in, each trained and measured over seeds, one table out.

Where values are tried, each model takes those of the best validation NDCG@10 at the first seed; only what was
chosen is measured on the test split. Every run is a run of `tssr train`, in the folder that it would use, so
whatever is finished is not done again and whatever was interrupted goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.artifacts import fingerprint, write_json, write_text
from ..core.errors import UsageError
from ..core.progress import note
from ..core.settings import option_name, resolve
from ..core.summary import Summary
from ..core.workspace import Workspace, check_name
from ..evaluation.comparison import Comparison, compare
from ..evaluation.metrics import Measurement
from ..evaluation.settings import EvaluateSettings
from .compare_settings import CompareSettings
from .entrants import Candidate, Entrant
from .evaluate import check_topk, evaluate
from .train_apart import Trained, TrainingPool

FOCUS, REFERENCE = "tssr", "sasrec-id"


@dataclass(frozen=True)
class Compared:
    """An entrant's chosen settings, its runs, one a seed, and their measurements on the test split."""

    entrant: Entrant
    tried: list[Trained]
    choice: int
    runs: list[Trained]
    measured: list[Summary]

    @property
    def values(self) -> dict[str, Any]:
        """The values chosen among those tried."""
        return self.entrant.candidates[self.choice].values

    def measurement(self, mask: str) -> list[Measurement]:
        """What was measured under a mask, one a seed."""
        return [
            Measurement.from_record(record)
            for summary in self.measured
            for record in summary.data["measurements"]
            if record["protocol"]["mask"] == mask
        ]


def compare_models(workspace: Workspace, settings: CompareSettings, entrants: Sequence[Entrant]) -> Summary:
    """Train, choose, measure and lay the models side by side; writes the table into the workspace.

    Raises UsageError for a focus or reference that takes no part, TssrError where a run fails.
    """
    names = [entrant.name for entrant in entrants]
    focus = _taking_part("focus", settings.focus, FOCUS, names)
    reference = _taking_part("reference", settings.reference, REFERENCE, names)
    dataset = entrants[0].candidates[0].plan.dataset
    check_topk(resolve(EvaluateSettings, {"topk": settings.topk}).topk, dataset)
    path = _path(workspace, settings, entrants)
    compared = _measure(workspace, settings, entrants, *_train(workspace, settings, entrants))
    comparison = compare(
        {one.entrant.name: one.measurement(settings.mask) for one in compared},
        reference,
        settings.topk,
        focus=focus,
    )
    return _summary(path, dataset.name, settings, compared, comparison)


def _path(workspace: Workspace, settings: CompareSettings, entrants: Sequence[Entrant]) -> Path:
    """The comparison's files without their endings: by the name given, or one made from what is compared."""
    plans = {entrant.name: [candidate.plan.key() for candidate in entrant.candidates] for entrant in entrants}
    asked = {name: value for name, value in settings.record().items() if name not in ("jobs", "name")}
    made = f"{entrants[0].candidates[0].plan.dataset.name}-{fingerprint({**asked, 'plans': plans})[:8]}"
    return workspace.root / "comparisons" / check_name(settings.name or made, "--name")


def _taking_part(option: str, given: str | None, default: str, names: Sequence[str]) -> str | None:
    if given is not None and given not in names:
        raise UsageError(f"{option_name(option)} {given} is not among --models: {', '.join(names)}")
    return given or (default if default in names else None)


def _train(
    workspace: Workspace, settings: CompareSettings, entrants: Sequence[Entrant]
) -> tuple[list[list[Trained]], list[int], list[list[Trained]]]:
    """Train every candidate at the first seed, choose, and train what was chosen at the other seeds.

    Returns, for each entrant: its candidates' runs, which of them was chosen, and the chosen one's runs.
    """
    more = [settings.seeds - 1 if entrant.trained else 0 for entrant in entrants]
    pool = TrainingPool(workspace, settings.jobs, sum(len(e.candidates) for e in entrants) + sum(more))
    first = [(_label(e, c, 0), c.plan) for e in entrants for c in e.candidates]
    tried = _split(pool.train(first), [len(e.candidates) for e in entrants])
    choices = [_best(runs) for runs in tried]
    rest = []
    for entrant, choice, count in zip(entrants, choices, more, strict=True):
        candidate = entrant.candidates[choice]
        rest += [
            (_label(entrant, candidate, seed), entrant.plan(candidate, seed)) for seed in range(1, count + 1)
        ]
    others = _split(pool.train(rest), more)
    runs = [[own[choice], *also] for own, choice, also in zip(tried, choices, others, strict=True)]
    return tried, choices, runs


def _label(entrant: Entrant, candidate: Candidate, seed: int) -> str:
    values = [f"{option_name(name)} {value}" for name, value in candidate.values.items()]
    if entrant.trained:
        values.append(f"--seed {candidate.plan.train.seed + seed}")
    return " ".join([entrant.name, *values])


def _split(runs: Sequence[Trained], sizes: Sequence[int]) -> list[list[Trained]]:
    parts, first = [], 0
    for size in sizes:
        parts.append(list(runs[first : first + size]))
        first += size
    return parts


def _best(runs: Sequence[Trained]) -> int:
    """The run with the best validation NDCG@10, the first of equals."""
    return max(range(len(runs)), key=lambda i: runs[i].result["validation_ndcg@10"])


def _measure(
    workspace: Workspace,
    settings: CompareSettings,
    entrants: Sequence[Entrant],
    tried: Sequence[list[Trained]],
    choices: Sequence[int],
    runs: Sequence[list[Trained]],
) -> list[Compared]:
    compared = []
    for entrant, own, choice, chosen in zip(entrants, tried, choices, runs, strict=True):
        device = entrant.candidates[choice].plan.train.device
        wanted = resolve(EvaluateSettings, {"topk": settings.topk, "device": device})
        measured = [evaluate(workspace, run.folder.name, wanted, force=False) for run in chosen]
        if not all(summary.cached for summary in measured):
            note(f"{entrant.name}: measured")
        compared.append(Compared(entrant, own, choice, chosen, measured))
    return compared


def _summary(
    path: Path, dataset: str, settings: CompareSettings, compared: Sequence[Compared], comparison: Comparison
) -> Summary:
    record = {
        "stage": "compare",
        "dataset": dataset,
        "settings": settings.record(),
        **comparison.record(),
        "entrants": {one.entrant.name: _record(one) for one in compared},
    }
    write_json(path.with_name(f"{path.name}.json"), record)
    write_text(path.with_name(f"{path.name}.md"), comparison.markdown())
    cached = all(run.cached for one in compared for run in (*one.tried, *one.runs)) and all(
        summary.cached for one in compared for summary in one.measured
    )
    notes = [comparison.note(), f"files: {path}.json, .md"]
    title = f"{len(compared)} models on {dataset}"
    return Summary(title, comparison.rows(), record, comparison.columns, notes, cached=cached)


def _record(one: Compared) -> dict[str, Any]:
    return {
        "model": one.entrant.model,
        "chosen": one.values,
        "tried": [
            {
                "values": candidate.values,
                "validation_ndcg@10": run.result["validation_ndcg@10"],
                "run": run.folder.name,
            }
            for candidate, run in zip(one.entrant.candidates, one.tried, strict=True)
        ],
        "runs": [_run_record(run) for run in one.runs],
    }


def _run_record(run: Trained) -> Mapping[str, Any]:
    return {"run": run.folder.name, "command": " ".join(run.command), "result": run.result}
