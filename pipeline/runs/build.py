"""The model of a plan, made from the plan's data set and feature stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING

from ...core.dataset import LoadedDataset, Queries
from ...core.errors import TssrError, UsageError, memory_errors_as_tssr
from ...core.memory import free_memory
from ...features.store import StoreInfo, open_store
from ...model.settings import BlendSettings, EmbeddingSettings, SequenceSettings
from .end_to_end import trainable_contents
from .plan import RunPlan, window_of

if TYPE_CHECKING:
    import torch

    from ...features.encoder import ContentEncoder
    from ...features.stored_inputs import EncoderInputs
    from ...model.materials import ContentFeatures, ContentSource
    from ...model.recommender import Recommender


def refuse_empty(queries: Queries, dataset: LoadedDataset) -> None:
    """Raise UsageError where a split has no user to rank for."""
    if len(queries) == 0:
        raise UsageError(
            f"no user of {dataset.info.name} has the three actions that a split takes; "
            "preprocess with --min-actions 3 or more, or a log with longer histories"
        )


def refuse_too_large(plan: RunPlan, dataset: LoadedDataset, device: torch.device) -> None:
    """Raise TssrError, before memory is allocated, where a training step certainly needs more than is free.

    A step holds at least two arrays of B x L vectors of D float32: the item vectors, and their sums with the
    positions. With L = 100,000, 60 users and D = 128 these are 5.7 GiB, however short the histories are. A
    transformer also holds a mask of one byte for each of B x L x L pairs of steps: 559 GiB in this example.
    """
    import torch

    length, width = getattr(plan.model_settings, "length", None), getattr(plan.model_settings, "width", None)
    if length is None or width is None:
        return
    rows = min(plan.train.batch_size, len(dataset.histories))
    least = 2 * rows * length * width * torch.float32.itemsize
    if isinstance(plan.model_settings, SequenceSettings):
        least += rows * length**2 * torch.bool.itemsize
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
    if free is not None and least > free:
        raise TssrError(
            f"--length {length}: a step of {rows} windows takes at least {least / 2**30:.1f} GiB of memory, "
            f"and {free / 2**30:.1f} are free; lower --length (the longest history has "
            f"{int(dataset.histories.lengths.max())} actions), --batch-size or --width"
        )


def build_model(
    plan: RunPlan,
    dataset: LoadedDataset,
    device: torch.device,
    contents: Sequence[ContentSource] | None = None,
    *,
    to_load: bool = False,
) -> Recommender:
    """Build the plan's model with its first weights, on `device`; `dataset` is the plan's, loaded.

    The model reads `contents`; without them it reads the plan's feature stores or encoders. The plan is not
    that of a blend (see `build_blend`). First weights are drawn from torch's stream of the process, begun at
    the run's seed, and training draws on from there. A model whose weights are to be loaded (`to_load`)
    leaves that stream alone: another thread may be training, or a notebook has a seed of its own.
    """
    import torch

    from ...model.materials import Materials
    from ...model.random_state import DrawnApart

    whole, train = dataset.histories, plan.split(dataset).train
    if not to_load:
        torch.manual_seed(plan.train.seed)
    counted = whole if getattr(plan.model_settings, "count_all", False) else train
    materials = Materials(
        item_count=plan.dataset.item_count,
        length=window_of(plan),
        contents=contents_of(plan, device) if contents is None else contents,
        train=train,
        train_counts=torch.from_numpy(counted.counts()),
    )
    with memory_errors_as_tssr(f"building {plan.spec.title}", _memory_cure(plan)):
        with DrawnApart(plan.train.seed) if to_load else nullcontext():
            model = plan.spec.build(materials, plan.model_settings)
        if isinstance(model, torch.nn.Module):
            model.to(device)
    return model


def _memory_cure(plan: RunPlan) -> str:
    """What to do where a model does not fit: neighbours grow with the items, others with their vectors."""
    if isinstance(plan.model_settings, EmbeddingSettings):
        return "lower --width, or choose --device cpu"
    return "make a data set of fewer items: tssr preprocess with a larger --min-actions"


def build_blend(
    plan: RunPlan, parts: Sequence[Recommender], dataset: LoadedDataset, device: torch.device
) -> Recommender:
    """A blend of the plan's parts; its weights are equal until those of a finished run are loaded."""
    import torch

    from ...model.blend import blend

    assert isinstance(plan.model_settings, BlendSettings)
    counts = torch.from_numpy(plan.split(dataset).train.counts())
    return blend(parts, counts, plan.model_settings).to(device)


def contents_of(
    plan: RunPlan, device: torch.device, untrained: Mapping[str, torch.Tensor] = MappingProxyType({})
) -> Sequence[ContentSource]:
    """What the plan's model reads; stands for encoder inputs to come where the plan has no stores yet.

    `untrained` are for the scaling of encoders that are trained along (see `trainable_contents`).
    """
    if plan.end_to_end is None:
        return [content_features(store) for store in plan.stores]
    from ...features.stored_inputs import InputsToCome, StoredInputs

    def inputs_of(index: int, encoder: ContentEncoder) -> EncoderInputs:
        if not plan.stores:
            return InputsToCome(plan.dataset.item_count)
        return StoredInputs(plan.stores[index], device, getattr(encoder.prepare, "padding", 0))

    return trainable_contents(plan.end_to_end, inputs_of, plan.train.learning_rate, untrained)


def content_features(store: StoreInfo) -> ContentFeatures:
    """All items' vectors of a store."""
    import torch

    from ...model.materials import ContentFeatures

    vectors, present = open_store(store).item_features()
    return ContentFeatures(store.modality, torch.from_numpy(vectors), torch.from_numpy(present))
