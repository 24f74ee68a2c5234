"""What refuses a training along with its encoders, before their inputs are extracted.

The extraction of pixels, tokens or activations may take hours. So all that needs none of them is tried first:
the model is built once with encoders that have nothing to read yet, and thrown away.
"""

from __future__ import annotations

from ...core.device import choose_device
from ...core.randomness import own_randomness
from ...core.workspace import WorkspaceFolders
from .plan import RunPlan
from .train import recorded_run, trainable_dataset, untrained_model


def refuse_untrainable(
    workspace: WorkspaceFolders, plan: RunPlan, name: str | None, *, force: bool = False
) -> None:
    """Raise what `train` would raise for this plan, which has no stores yet, and for the run's name.

    Raises UsageError for options, encoders and adapters that do not fit, ArtifactError where a run folder of
    that name holds another plan, TssrError where the memory does not suffice.
    """
    import torch

    if name is not None and not force:
        recorded_run(plan.folder(workspace, name), plan)
    device = choose_device(plan.train.device)
    dataset = trainable_dataset(plan, device)
    with own_randomness(device):
        untrained_model(workspace, plan, dataset, torch.device("cpu"))
