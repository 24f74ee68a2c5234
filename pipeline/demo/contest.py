"""Trains, blends and measures the demo's contenders, each by the public stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.settings import resolve
from ...core.summary import Summary
from ...core.workspace import WorkspaceFolders
from ...evaluation.ranking import Ranks
from ...evaluation.ranks import read_ranks
from ...evaluation.settings import EvaluateSettings
from ...model.registry import model_spec
from ...model.settings import BlendSettings
from ..runs.blend import blend_runs
from ..runs.evaluate import evaluate, ranks_name
from ..runs.plan import RunPlan, plan_run
from ..runs.settings import RunSettings
from ..runs.train import train
from .contenders import BLEND, BLEND_PARTS, CONTENDERS, CONTROL, REFERENCE

DATASET = "hm"
TOPK = (10, 20)


@dataclass(frozen=True)
class FinishedContender:
    """A contender's run, what evaluation said of it, and the rank of every customer's next purchase."""

    folder: Path
    record: Mapping[str, Any]

    @property
    def ranks(self) -> Ranks:
        """As evaluation wrote them."""
        return read_ranks(self.folder / ranks_name("test"))


def hold_contest(
    workspace: WorkspaceFolders,
    stores: Sequence[str],
    seed: int,
    finished: Callable[[Summary], Summary],
    *,
    force: bool,
) -> dict[str, FinishedContender]:
    """The contenders by name, with the feature `stores` to read; `finished` is told of each stage's end."""
    topk = resolve(EvaluateSettings, {"topk": TOPK})

    def trained(model: str, own_seed: int) -> Path:
        plan = _plan(workspace, model, stores, own_seed)
        return Path(str(finished(train(workspace, plan, None, force=force)).data["folder"]))

    def measured(folder: Path) -> FinishedContender:
        return FinishedContender(folder, finished(evaluate(workspace, folder.name, topk, force=force)).data)

    found = {model: measured(trained(model, seed)) for model in CONTENDERS}
    control = [found[REFERENCE].folder.name, trained(REFERENCE, seed + 1).name]
    parts = [found[part].folder.name for part in BLEND_PARTS]
    # The blend last, so that it is the newest run, which other commands take where none is named.
    for name, runs in ((CONTROL, control), (BLEND, parts)):
        blended = finished(blend_runs(workspace, runs, resolve(BlendSettings, {}), force=force))
        found[name] = measured(Path(str(blended.data["folder"])))
    return found


def _plan(workspace: WorkspaceFolders, model: str, stores: Sequence[str], seed: int) -> RunPlan:
    """The plan of a contender: neighbours read all content, what is trained the last store alone.

    That is the texts where they were encoded: a trained encoder's vectors tell more than an untrained one's.
    """
    spec = model_spec(model)
    read = stores[-1:] if spec.trained else stores
    features = tuple(read) if spec.reads_content else ()
    chosen = resolve(RunSettings, {"model": model, "dataset": DATASET, "features": features})
    options = CONTENDERS[model] | ({"seed": seed} if spec.trained else {})
    return plan_run(workspace, chosen, {}, options)
