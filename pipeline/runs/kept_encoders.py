"""What an end-to-end training leaves in its run's folder: the vectors of all items, and the encoders.

content-image.safetensors   vectors (N + 1, C), which items have one, and with --content-scale the numbers
                            that they are scaled by; made again where content changed
encoder-image.safetensors   a torchvision encoder, for: tssr extract-features --encoder … --weights FILE
encoder-text/               an encoder of transformers, for: tssr extract-features --encoder FOLDER
adapter-text.safetensors    with --adapter in place of an encoder, for: tssr extract-features
                            --encoder … --adapter-weights FILE, with the encoder that it was trained in

A blend keeps the vectors and the weights of each part with trained encoders in a folder of its own, part-0/
for the first part: so it outlives its parts, and encodes new content with their encoders.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...core.artifacts import atomic_folder
from ...core.errors import ArtifactError
from ...core.torchrun import current_world
from ...features.modality import MODALITIES, EncoderChoice
from .end_to_end import EndToEndPlan, adapter_record, part_to_train

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ...features.store import StoreInfo
    from ...model.content import TrainedContent
    from ...model.content_scaling import ContentScaling
    from ...model.materials import ContentFeatures
    from ...model.recommender import Recommender

_POOLING = "1_Pooling/config.json"
_NUMBER = "scaling."  # begins the names of the numbers of a scaling


def keep_vectors(folder: Path, plan: EndToEndPlan, stores: list[StoreInfo], model: Recommender) -> None:
    """Encode all items with the model's trained encoders, and write their vectors into the run's folder."""
    from ...model.checkpoint import write_tensors
    from ...model.content_scaling import scalings_of

    contents, scalings = _contents(plan, stores, model), scalings_of(cast("nn.Module", model))
    for (modality, store, content), scaling in zip(contents, scalings, strict=True):
        vectors = content.encode_all()
        if current_world().is_main:
            tensors = {"vectors": vectors, "present": content.contents >= 0}
            record = {"store": store.fingerprint}
            if scaling is not None:
                record["scale"] = scaling.scale
                tensors |= {_NUMBER + name: number for name, number in scaling.named_buffers()}
            write_tensors(vectors_file(folder, modality), tensors, record)


def keep_encoders(
    folder: Path, plan: EndToEndPlan, stores: list[StoreInfo], model: Recommender
) -> dict[str, Any]:
    """Write the trained encoders, or their adapters alone, as extract-features takes them.

    Returns for the run's record the names of what was written, and how many weights of each encoder trained.
    """
    from ...features.loading import load_encoder

    names, counts = [], {}
    for index, (choice, (_, _, content)) in enumerate(
        zip(plan.choices(), _contents(plan, stores, model), strict=True)
    ):
        encoder = load_encoder(choice)
        whole = sum(weight.numel() for weight in encoder.module.parameters())
        trained = sum(weight.numel() for weight in content.encoder.parameters() if weight.requires_grad)
        counts[choice.modality] = {"trained": trained, "whole": whole}
        if plan.settings.adapter is not None:
            path = _write_adapter(folder, plan, index, content)
        else:
            part_to_train(plan, index, encoder).load_state_dict(content.encoder.state_dict())
            path = _write_encoder(folder, choice, encoder.module)
        names.append(path.name)
    return {"encoders": names, "encoder_weights": counts}


def _write_adapter(folder: Path, plan: EndToEndPlan, index: int, content: TrainedContent) -> Path:
    """The trained weights alone, and what they belong to."""
    from ...features.adapters import adapter_weights
    from ...model.checkpoint import write_tensors

    modality = plan.modalities[index]
    record = adapter_record(plan.settings, index, plan.encoders[modality])
    path = folder / f"adapter-{modality}.safetensors"
    write_tensors(path, adapter_weights(content.encoder), record.values())
    return path


def _write_encoder(folder: Path, choice: EncoderChoice, module: nn.Module) -> Path:
    """A whole encoder, as a folder of transformers or one file of weights."""
    from ...model.checkpoint import write_tensors

    kept, preparer = MODALITIES[choice.modality].kept(choice, module)
    if preparer is None:
        path = folder / f"encoder-{choice.modality}.safetensors"
        write_tensors(path, kept.state_dict(), {})
    else:
        path = folder / f"encoder-{choice.modality}"
        _write_folder(path, choice, kept, preparer)
    return path


def kept_contents(folder: Path, plan: EndToEndPlan, stores: list[StoreInfo]) -> list[ContentFeatures] | None:
    """The vectors that the run keeps; None where they are missing, or content has changed since."""
    from ...model.checkpoint import read_tensors
    from ...model.materials import ContentFeatures

    contents = []
    for modality, store in zip(plan.modalities, stores, strict=True):
        try:
            tensors, record = read_tensors(vectors_file(folder, modality))
        except ArtifactError:
            return None
        if record.get("store") != store.fingerprint:
            return None
        scaling = _kept_scaling(tensors, record)
        contents.append(ContentFeatures(modality, tensors["vectors"], tensors["present"], scaling))
    return contents


def _kept_scaling(tensors: Mapping[str, torch.Tensor], record: Mapping[str, Any]) -> ContentScaling | None:
    """The scaling that `keep_vectors` wrote; None where the model reads the vectors as they are."""
    from ...model.content_scaling import ContentScaling

    if "scale" not in record:
        return None
    numbers = {
        name.removeprefix(_NUMBER): number for name, number in tensors.items() if name.startswith(_NUMBER)
    }
    return ContentScaling(record["scale"], tensors["vectors"].dtype, numbers)


def part_folder(folder: Path, number: int) -> Path:
    """Where a blend in `folder` keeps what its part `number` (from 0) needs beside the blend's weights."""
    return folder / f"part-{number}"


def copy_part(own: Path, target: Path, plan: EndToEndPlan) -> None:
    """Copy the vectors of the run in `own`, and the weights that can make them again, into `target`."""
    from ...model.checkpoint import MODEL_FILE

    with atomic_folder(target) as temporary:
        for file in (own / MODEL_FILE, *(vectors_file(own, modality) for modality in plan.modalities)):
            shutil.copyfile(file, temporary / file.name)


def vectors_file(folder: Path, modality: str) -> Path:
    """Where a run keeps all items' vectors of a modality."""
    return folder / f"content-{modality}.safetensors"


def _contents(
    plan: EndToEndPlan, stores: list[StoreInfo], model: Recommender
) -> list[tuple[str, StoreInfo, TrainedContent]]:
    import torch

    from ...model.content import trained_contents

    assert isinstance(model, torch.nn.Module)
    return list(zip(plan.modalities, stores, trained_contents(model), strict=True))


def _write_folder(path: Path, choice: EncoderChoice, model: nn.Module, preparer: str) -> None:
    """Write a folder that transformers can load: config, weights, and the tokenizer or image processor.

    `preparer` is the class of transformers that loads the last, such as AutoTokenizer.
    """
    import transformers

    from ...features.hub import from_pretrained, optional_file

    with atomic_folder(path) as temporary:
        model.save_pretrained(temporary)  # type: ignore[operator]
        from_pretrained(getattr(transformers, preparer), choice.encoder).save_pretrained(temporary)
        pooling = optional_file(choice.encoder, _POOLING)
        if pooling is not None:
            (temporary / _POOLING).parent.mkdir()
            shutil.copyfile(pooling, temporary / _POOLING)
