"""The model of a plan, made from the plan's data set and feature stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...core.dataset import Dataset, Histories, Queries
from ...core.errors import UsageError, memory_errors_as_tssr
from ...features.store import StoreInfo, open_store
from ...model.settings import BlendSettings
from .plan import RunPlan, window_of

if TYPE_CHECKING:
    import torch

    from ...model.materials import ContentFeatures
    from ...model.recommender import Recommender


def refuse_empty(queries: Queries, dataset: Dataset) -> None:
    """Raise UsageError where a split asks nobody."""
    if len(queries) == 0:
        raise UsageError(
            f"no user of {dataset.info.name} has the three actions that a split takes; "
            "preprocess with --min-actions 3 or more, or a log with longer histories"
        )


def build_model(plan: RunPlan, dataset: Dataset, device: torch.device) -> Recommender:
    """Build the plan's model with its first weights, on `device`; `dataset` is the plan's, loaded."""
    import torch

    from ...model.materials import Materials

    whole, train = dataset.histories, dataset.split().train
    if plan.parts:
        return _blend(plan, [build_model(part, dataset, device) for part in plan.parts], train, device)
    torch.manual_seed(plan.train.seed)
    counted = whole if getattr(plan.model_settings, "count_all", False) else train
    materials = Materials(
        item_count=plan.dataset.item_count,
        length=window_of(plan),
        contents=[_content(store) for store in plan.stores],
        train=train,
        train_counts=torch.from_numpy(counted.counts()),
    )
    with memory_errors_as_tssr(f"building {plan.spec.title}", "lower --width, or choose --device cpu"):
        model = plan.spec.build(materials, plan.model_settings)
        if isinstance(model, torch.nn.Module):
            model.to(device)
    return model


def _blend(
    plan: RunPlan, parts: Sequence[Recommender], train: Histories, device: torch.device
) -> Recommender:
    """The models added up, with equal weights until the file that holds theirs is loaded."""
    import torch

    from ...model.blend import blend

    assert isinstance(plan.model_settings, BlendSettings)
    return blend(parts, torch.from_numpy(train.counts()), plan.model_settings).to(device)


def _content(store: StoreInfo) -> ContentFeatures:
    import torch

    from ...model.materials import ContentFeatures

    vectors, present = open_store(store).item_features()
    return ContentFeatures(store.modality, torch.from_numpy(vectors), torch.from_numpy(present))
