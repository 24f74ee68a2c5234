"""`--start-from RUN`: an end-to-end training that begins with the weights of a run on frozen features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ...core.dataset import LoadedDataset
from ...core.errors import UsageError
from ...core.settings import option_name
from ...core.workspace import WorkspaceFolders, read_run
from ...model.registry import model_spec
from .build import build_model, content_features, contents_of
from .plan import RunPlan
from .record import open_run

if TYPE_CHECKING:
    import torch

    from ...model.recommender import Recommender


def started_model(
    workspace: WorkspaceFolders, plan: RunPlan, run: str, dataset: LoadedDataset, device: torch.device
) -> Recommender:
    """The plan's model with the weights of the finished run on frozen features that --start-from names.

    Its content is scaled by that run's numbers, with which the weights were learned. Raises UsageError for
    a run of another model or that trained encoders itself, that scales its content in another way, or whose
    weights do not fit.
    """
    from ...model.checkpoint import MODEL_FILE, start_from

    folder, option = workspace.choose_run(run, "--start-from"), f"--start-from {run}"
    record = read_run(folder)
    _refuse_unlike(option, record, plan)
    its_own, ours = record["settings"]["model"], plan.model_settings.record()
    for name in ("content_scale", "whiten_rank"):
        there, here = its_own.get(name), ours.get(name)
        if there != here:
            raise UsageError(
                f"{option}: it was trained with {option_name(name)} {there} and this run has {here}; "
                "give both the same"
            )
    scaled = ours.get("content_scale", "raw") != "raw"
    stores = open_run(workspace, folder).stores if scaled else []  # else they may be gone
    untrained = {store.modality: content_features(store).vectors for store in stores}
    model = build_model(plan, dataset, device, contents_of(plan, device, untrained))
    start_from(folder / MODEL_FILE, cast("torch.nn.Module", model), option)
    return model


def _refuse_unlike(option: str, record: Mapping[str, Any], plan: RunPlan) -> None:
    """Raise UsageError where the run of `record` cannot lend its weights, whatever their sizes."""
    if "end_to_end" in record:
        raise UsageError(
            f"{option}: it trained its encoders along, and a training starts from a run on frozen features "
            "only; name the one that it began with, or train one without --end-to-end"
        )
    theirs = model_spec(record["model"]).same_as or record["model"]
    if theirs != (plan.spec.same_as or plan.model):
        raise UsageError(
            f"{option}: it is a run of {record['model']} and this one trains {plan.model}; name a run of the "
            "same model"
        )
