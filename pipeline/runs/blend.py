"""The blend stage: from finished runs to a run whose scores are their weighted sum (see model/blend.py)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.artifacts import sha256_file, sweep_partials
from ...core.dataset import LoadedDataset, load_dataset
from ...core.device import choose_device
from ...core.errors import UsageError
from ...core.lock import exclusive
from ...core.memory import peak_memory
from ...core.schema import SELECTION_METRIC
from ...core.settings import resolve
from ...core.summary import Summary
from ...core.workspace import WorkspaceFolders, read_run
from ...model.registry import BLENDED
from ...model.settings import BlendSettings, TrainSettings
from .build import refuse_empty
from .kept_encoders import copy_part, part_folder
from .plan import RunPlan
from .record import open_run, write_run
from .train import recorded_run
from .trained_model import trained_model

if TYPE_CHECKING:
    from ...model.blend import Blend
    from ...model.blend_weights import BlendWeights
    from ...model.recommender import Recommender

NOTHING = 0.0005  # a part with less than this share of the weight is shown as having none


def plan_blend(parts: Sequence[RunPlan], settings: BlendSettings, device: str = "auto") -> RunPlan:
    """The plan of a blend of runs with these plans.

    Raises UsageError for parts that cannot be added: of several data sets, blends, or leaking ones.
    """
    if len(parts) < 2:
        raise UsageError("a blend takes two runs or more: tssr blend RUN RUN …")
    for part in parts:
        if part.parts:
            raise UsageError(f"{part.title} is a blend itself; list the runs that it is made of")
        if getattr(part.model_settings, "count_all", False):
            raise UsageError(
                f"{part.title}: validation cannot weigh what was counted on it; train it without --count-all"
            )
        if part.dataset.name != parts[0].dataset.name:
            raise UsageError(
                f"the runs are of different data sets, {parts[0].dataset.name} and {part.dataset.name}; "
                "a blend adds scores for the same items"
            )
        if part.train.train_users_share != parts[0].train.train_users_share:
            raise UsageError(
                "the runs were trained with different --train-users-share; train them with the same one"
            )
    # Parts whose encoders were trained along read no store but the vectors that they keep themselves.
    frozen = [part for part in parts if part.end_to_end is None]
    stores = {store.name: store for part in frozen for store in part.stores}
    share = parts[0].train.train_users_share
    train = resolve(TrainSettings, {"device": device, "train_users_share": share})
    ordered = [stores[name] for name in sorted(stores)]
    return RunPlan(BLENDED, parts[0].dataset, ordered, train, settings, tuple(parts))


def blend_runs(
    workspace: WorkspaceFolders,
    runs: Sequence[str],
    settings: BlendSettings,
    *,
    name: str | None = None,
    device: str = "auto",
    force: bool = False,
) -> Summary:
    """Add up finished runs with weights chosen on validation, and write that as a run.

    The new run contains copies of the parts' weights, and of the vectors that parts with trained encoders
    keep, so the parts may be deleted. Raises UsageError for runs that cannot be added, ArtifactError where
    one no longer fits its data or features.
    """
    folders = [workspace.choose_run(run) for run in runs]
    if len(set(folders)) < len(folders):
        twice = next(run for run in runs if list(runs).count(run) > 1)
        raise UsageError(f"{twice} is listed twice; added to itself a run ranks as before")
    plan = plan_blend([open_run(workspace, folder) for folder in folders], settings, device)
    folder = plan.folder(workspace, name)
    if not force and (result := blended(workspace, folder, plan)) is not None:
        return _summary(folder, plan, result, cached=True)
    dataset = load_dataset(plan.dataset)
    refuse_empty(dataset.split().validation, dataset)
    started = time.monotonic()
    models = [
        trained_model(own, part, dataset, device) for own, part in zip(folders, plan.parts, strict=True)
    ]
    with exclusive(folder):
        sweep_partials(folder)
        write_run(folder, plan, None)
        result = _blend(plan, dataset, models, folders, folder)
        result["seconds"] = round(time.monotonic() - started, 3)
        write_run(folder, plan, result)
    return _summary(folder, plan, result, cached=False)


def _blend(
    plan: RunPlan,
    dataset: LoadedDataset,
    models: Sequence[Recommender],
    folders: Sequence[Path],
    folder: Path,
) -> dict[str, Any]:
    """Choose the weights of `models`, which lie in `folders`, write the blend and give its result."""
    import torch

    from ...model.blend import blend
    from ...model.checkpoint import MODEL_FILE, save_model
    from .scorer import validation_ndcg

    assert isinstance(plan.model_settings, BlendSettings)
    device = choose_device(plan.train.device)
    counts = torch.from_numpy(plan.split(dataset).train.counts())
    model = blend(models, counts, plan.model_settings).to(device).eval()
    validation = dataset.split().validation
    weights = model.choose(validation, [own.name for own in folders])
    save_model(folder / MODEL_FILE, model, {"step": 0})
    for number, (own, part) in enumerate(zip(folders, plan.parts, strict=True)):
        if part.end_to_end is not None:
            copy_part(own, part_folder(folder, number), part.end_to_end)
    return {
        "parameters": sum(read_run(own)["result"]["parameters"] for own in folders),
        SELECTION_METRIC: validation_ndcg(model, validation, device),
        **_weights(model, weights, folders),
        "peak_memory": peak_memory(),
        "weights_sha256": sha256_file(folder / MODEL_FILE),
    }


def blended(workspace: WorkspaceFolders, folder: Path, plan: RunPlan) -> dict[str, Any] | None:
    """The result of the finished blend in `folder`; None where there is none, or a part was trained anew.

    Raises ArtifactError where the folder holds a run of another plan.
    """
    record = recorded_run(folder, plan)
    if record is None or not record["finished_at"]:
        return None
    result: dict[str, Any] = record["result"]
    begun = set(workspace.run_names())
    for part in result["parts"]:
        if part["run"] in begun:  # a deleted part is no reason to blend again: the blend has its weights
            now = read_run(workspace.run(part["run"]))["result"].get("weights_sha256")
            if now != part["weights_sha256"]:
                return None
    return result


def _weights(model: Blend, weights: BlendWeights, folders: Sequence[Path]) -> dict[str, Any]:
    """The chosen weights for the record: each part's share, its weights by class, and its NDCG alone."""
    parts = []
    for m, folder in enumerate(folders):
        trained = read_run(folder)["result"]
        parts.append(
            {
                "run": folder.name,
                "weights_sha256": trained.get("weights_sha256"),
                SELECTION_METRIC: trained[SELECTION_METRIC],
                "share": weights.shares[m],
                "of_item": weights.of_item[m].tolist(),
                "of_user": weights.of_user[m].tolist(),
            }
        )
    return {"parts": parts, "searched": weights.ndcg, "last_item": _last_item(model)}


def _last_item(model: Blend) -> str:
    return "left-out" if model.skips_last else "kept"


def _summary(folder: Path, plan: RunPlan, result: Mapping[str, Any], *, cached: bool) -> Summary:
    rows = [
        [
            part["run"],
            own.title,
            f"{part['share']:.0%}",
            f"{part[SELECTION_METRIC]:.4f}",
        ]
        for part, own in zip(result["parts"], plan.parts, strict=True)
    ]
    rows.append([folder.name, plan.title, "", f"{result[SELECTION_METRIC]:.4f}"])
    notes = [f"weights chosen on validation NDCG@10; {folder}"]
    alone = [part for part in result["parts"] if part["share"] > 1 - NOTHING]
    if alone:
        notes.append(
            f"All weight falls on {alone[0]['run']}: the others do not improve it on validation, so the "
            "blend ranks as it does"
        )
    if result["last_item"] == "left-out":
        notes.append("The newest item of a history is no candidate, as in one of the parts")
    notes.append(
        "Control: blend two runs of one model with different --seed; that gain comes from adding alone, "
        "not from content"
    )
    columns = ["run", "model", "share", "validation NDCG@10"]
    data = {"stage": "blend", "run": folder.name, "folder": str(folder), **plan.record(), "result": result}
    return Summary(f"Blended {plan.title} on {plan.dataset.name}", rows, data, columns, notes, cached)
