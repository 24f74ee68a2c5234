"""End-to-end training (`--end-to-end`): content encoders are trained together with the model.

Such a run does not read content vectors but the inputs of the encoders, such as pixels
(pipeline/runs/encoder_inputs.py). When training is over, the vectors of all items are computed once and kept
in the run's folder beside the trained encoder; from then on the run is used like one with frozen features. If
content changes later (an item gets a picture), the vectors are computed again with the run's encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ...core.dataset import DatasetInfo
from ...core.errors import ArtifactError, UsageError
from ...core.settings import Settings, resolve
from ...core.torchrun import current_world
from ...core.workspace import WorkspaceFolders
from ...features.modality import MODALITIES, EncoderChoice
from ...features.settings import NAMES
from ...features.store import StoreInfo
from ...model.registry import ModelSpec, from_content, scores_by_content
from .encoder_inputs import input_store
from .end_to_end_settings import EndToEndSettings

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ...features.adapter_files import AdapterRecord
    from ...features.encoder import ContentEncoder
    from ...features.stored_inputs import EncoderInputs
    from ...model.materials import TrainableContent

    InputsOf = Callable[[int, ContentEncoder], EncoderInputs]  # what the encoder of modality `index` reads


@dataclass(frozen=True)
class EndToEndPlan:
    """The settings that decide a run's trained encoders; `encoders` has the hash of each's first weights."""

    settings: EndToEndSettings
    modalities: tuple[str, ...]
    encoders: Mapping[str, str]
    seed: int

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "settings": self.settings.record(),
            "modalities": list(self.modalities),
            "encoders": dict(self.encoders),
            "seed": self.seed,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> EndToEndPlan:
        """Read back what `record` gave; raises UsageError or KeyError for anything else."""
        settings = resolve(EndToEndSettings, record["settings"])
        return cls(settings, tuple(record["modalities"]), dict(record["encoders"]), int(record["seed"]))

    def choices(self) -> list[EncoderChoice]:
        """The choice of each whole encoder."""
        return self.settings.choices(self.modalities, self.seed)


def modalities_of(features: tuple[str, ...]) -> tuple[str, ...]:
    """The modalities that --features names, the first of all where it names none.

    Raises UsageError for the name of a store: which store an encoder reads follows from the encoder.
    """
    unknown = [name for name in features if name not in MODALITIES]
    if unknown:
        raise UsageError(
            f"--features {unknown[0]}: with --end-to-end say {NAMES}; the stores that the "
            "encoders read are found by themselves"
        )
    return tuple(name for name in MODALITIES if name in features) or (next(iter(MODALITIES)),)


def plan_end_to_end(settings: EndToEndSettings, features: tuple[str, ...], seed: int) -> EndToEndPlan:
    """Decide which encoders are trained. Raises UsageError for an encoder that cannot be loaded."""
    from ...features.loading import load_encoder

    modalities = modalities_of(features)
    _refuse_uneven(settings, modalities)
    choices = settings.choices(modalities, seed)
    keys = [load_encoder(choice).key for choice in choices]
    # An encoder's pooling is told by a file of its own, which one process may fail to download.
    current_world().refuse_unequal("encoders", repr(keys))
    encoders = {choice.modality: str(key["weights"]) for choice, key in zip(choices, keys, strict=True)}
    return EndToEndPlan(settings, modalities, encoders, seed)


def input_stores(workspace: WorkspaceFolders, dataset: DatasetInfo, plan: EndToEndPlan) -> list[StoreInfo]:
    """The store that each trained encoder reads. Raises UsageError with the command that makes one."""
    from ...features.loading import load_encoder

    return [
        input_store(workspace, dataset, load_encoder(choice), choice, plan.settings.reads(index))
        for index, choice in enumerate(plan.choices())
    ]


def refuse_unfit(spec: ModelSpec, model_settings: Settings, settings: EndToEndSettings) -> None:
    """Raise UsageError for settings of a model that do not go together with training its encoders."""
    _refuse_fixed_content(model_settings)
    _refuse_all_items_each_step(spec, model_settings, settings)


def _refuse_fixed_content(settings: Settings) -> None:
    """Raise UsageError for model settings that need fixed content vectors."""
    if from_content(settings):
        raise UsageError(
            "--item-start content: an encoder that is trained along has no fixed vectors to start from; "
            "leave the option out with --end-to-end"
        )


def _refuse_all_items_each_step(
    spec: ModelSpec, model_settings: Settings, settings: EndToEndSettings
) -> None:
    """Raise UsageError for a head that would have all items encoded at each step.

    Also for a table that no head would read. A loss over drawn items has only those encoded, and a table is
    encoded once an epoch.
    """
    head = getattr(model_settings, "head", "table")
    of_content = scores_by_content(spec, model_settings)
    drawn = getattr(model_settings, "softmax_sample", 0) or getattr(model_settings, "loss", "ce") != "ce"
    if of_content and not drawn and settings.refresh_items == "step":
        raise UsageError(
            f"--head {head}: it scores all items by their content, which would be encoded at each step; with "
            "--end-to-end add --refresh-items epoch, which encodes them once an epoch, or --softmax-sample, "
            "or choose --head table where the model has it"
        )
    if settings.refresh_items != "step" and not of_content:
        raise UsageError(
            f"--refresh-items {settings.refresh_items}: the head of this model (--head {head}) reads no "
            "content; leave the option out, or choose --head content"
        )


def _refuse_uneven(settings: EndToEndSettings, modalities: tuple[str, ...]) -> None:
    """Raise UsageError where an option is given for some modalities and not for others."""
    for name in ("encoder", "weights", "unfreeze"):
        given = getattr(settings, name)
        if len(given) not in (0, len(modalities)) and not (name == "unfreeze" and len(given) == 1):
            raise UsageError(
                f"--{name}: {len(given)} given for {len(modalities)} modalities ({', '.join(modalities)}); "
                f"give one for each, in the order {', '.join(MODALITIES)}"
            )


def adapter_record(settings: EndToEndSettings, index: int, weights: str) -> AdapterRecord:
    """The description of the adapter of modality `index`; `weights` is the hash of its encoder's weights."""
    from ...features.adapter_files import AdapterRecord

    assert settings.adapter is not None
    return AdapterRecord(settings.adapter, settings.resolved_adapter_dim(), settings.unfrozen(index), weights)


def part_to_train(plan: EndToEndPlan, index: int, encoder: ContentEncoder) -> nn.Module:
    """The part of the encoder of modality `index` that trains, with its adapters; weights are shared.

    Raises ArtifactError where adapters would go into another encoder than they were planned for.
    """
    from ...features.adapter_files import part_with_adapter
    from ...features.adapters import trained_part

    if plan.settings.adapter is None:
        return trained_part(encoder.module, plan.settings.unfrozen(index))
    choice = plan.choices()[index]
    weights = plan.encoders[choice.modality]
    if encoder.key["weights"] != weights:
        raise ArtifactError(
            f"the weights of encoder {choice.encoder} are not those that the run's adapters were trained in; "
            "put the files of that time back, or train again"
        )
    return part_with_adapter(encoder, adapter_record(plan.settings, index, weights), plan.seed)


def trainable_contents(
    plan: EndToEndPlan,
    inputs_of: InputsOf,
    learning_rate: float,
    untrained: Mapping[str, torch.Tensor] = MappingProxyType({}),
) -> list[TrainableContent]:
    """The encoders and the readers of their inputs, in the form in which a model takes content.

    `untrained` are vectors of all items by modality, (N + 1, C), that the encoders gave before; scaling takes
    its numbers from them, and where there are none from the encoders as they are.

    Raises UsageError for a part to train, or an adapter, that an encoder has no place for.
    """
    from ...features.loading import load_encoder
    from ...features.stored_inputs import InputsToCome
    from ...model.content import EncoderTraining
    from ...model.materials import TrainableContent

    chosen = plan.settings
    contents = []
    for index, choice in enumerate(plan.choices()):
        encoder = load_encoder(choice)
        trained = part_to_train(plan, index, encoder)
        training = EncoderTraining(
            chosen.encoder_lr or learning_rate,
            chosen.encoder_weight_decay,
            chosen.chunk(),
            chosen.train_batchnorm,
            chosen.refresh_items == "epoch",
            chosen.kept_chunks(index, choice.modality),
        )
        inputs = inputs_of(index, encoder)
        before = untrained.get(choice.modality)
        if before is None and isinstance(inputs, InputsToCome):
            before = inputs.contents.new_zeros(len(inputs.contents), encoder.dimension).float()
        contents.append(
            TrainableContent(
                choice.modality, trained, inputs, inputs.contents, encoder.dimension, training, before
            )
        )
    return contents
