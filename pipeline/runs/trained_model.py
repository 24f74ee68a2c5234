"""The model of a finished run with its best weights, ready to score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from ...core.artifacts import sha256_file
from ...core.dataset import LoadedDataset
from ...core.device import choose_device
from ...core.errors import ArtifactError
from ...core.progress import note
from ...core.torchrun import current_world
from ...core.workspace import read_run
from .build import build_blend, build_model
from .kept_encoders import keep_vectors, kept_contents, part_folder
from .plan import RunPlan

if TYPE_CHECKING:
    import torch

    from ...model.materials import ContentFeatures
    from ...model.recommender import Recommender


def trained_model(folder: Path, plan: RunPlan, dataset: LoadedDataset, device_name: str) -> Recommender:
    """Build the plan's model with the best weights of the run in `folder`, ready to score."""
    import torch

    from ...model.checkpoint import MODEL_FILE, load_model

    device = choose_device(device_name)
    model = _built(folder, plan, dataset, device)
    if isinstance(model, torch.nn.Module):
        written = read_run(folder)["result"].get("weights_sha256")
        there = (folder / MODEL_FILE).is_file()
        if there and written is not None and sha256_file(folder / MODEL_FILE) != written:
            raise ArtifactError(
                f"{folder / MODEL_FILE} is damaged: it is not what training wrote; delete its folder "
                "and train again"
            )
        load_model(folder / MODEL_FILE, model)
        model.eval()
    return model


def _built(folder: Path, plan: RunPlan, dataset: LoadedDataset, device: torch.device) -> Recommender:
    """The plan's model, which reads what the run in `folder` keeps; its weights are yet to be loaded."""
    if not plan.parts:
        return build_model(plan, dataset, device, _kept(folder, plan, dataset, device), to_load=True)
    parts = [
        _built(part_folder(folder, number), part, dataset, device) for number, part in enumerate(plan.parts)
    ]
    return build_blend(plan, parts, dataset, device)


def _kept(
    folder: Path, plan: RunPlan, dataset: LoadedDataset, device: torch.device
) -> list[ContentFeatures] | None:
    """The vectors that the run's own encoders made, made again where content changed; None for other runs."""
    if plan.end_to_end is None:
        return None
    from ...model.checkpoint import MODEL_FILE, load_model

    world = current_world()
    kept = kept_contents(folder, plan.end_to_end, plan.stores)
    if world.broadcast(kept is None):  # the main process looks, so that all encode together
        note("content has changed since training: its vectors are computed again with the run's encoder")
        model = build_model(plan, dataset, device, to_load=True)
        load_model(folder / MODEL_FILE, cast("torch.nn.Module", model))
        keep_vectors(folder, plan.end_to_end, plan.stores, model)
        world.barrier()  # until the main process has written them
        kept = kept_contents(folder, plan.end_to_end, plan.stores)
    return kept
