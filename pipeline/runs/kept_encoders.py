"""What training encoders along leaves in a run's folder: all items' vectors, and the encoders.

content-image.safetensors   vectors (N + 1, C) and which items have one; made again where content changed
encoder-image.safetensors   a torchvision encoder, for: tssr extract-features --encoder … --weights FILE
encoder-text/               an encoder of transformers, for: tssr extract-features --encoder FOLDER
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.artifacts import atomic_folder
from ...core.errors import ArtifactError
from ...core.torchrun import current_world
from ...features.modality import MODALITIES, EncoderChoice
from .end_to_end import EndToEndPlan, trained_part

if TYPE_CHECKING:
    from torch import nn

    from ...features.store import StoreInfo
    from ...model.content import TrainedContent
    from ...model.materials import ContentFeatures
    from ...model.recommender import Recommender

_POOLING = "1_Pooling/config.json"


def keep_vectors(folder: Path, plan: EndToEndPlan, stores: list[StoreInfo], model: Recommender) -> None:
    """Encode all items with the model's trained encoders, and write their vectors into the run's folder."""
    from ...model.checkpoint import write_tensors

    for modality, store, content in _contents(plan, stores, model):
        vectors = content.encode_all()
        if current_world().leads:
            tensors = {"vectors": vectors, "present": content.contents >= 0}
            write_tensors(vectors_file(folder, modality), tensors, {"store": store.fingerprint})


def keep_encoders(
    folder: Path, plan: EndToEndPlan, stores: list[StoreInfo], model: Recommender
) -> list[Path]:
    """Write the trained encoders as extract-features takes them; returns where."""
    from ...features.loading import load_encoder
    from ...model.checkpoint import write_tensors

    written = []
    trained = {modality: content for modality, _, content in _contents(plan, stores, model)}
    for index, choice in enumerate(plan.choices()):
        encoder = load_encoder(choice)
        part = trained_part(encoder, plan.settings.unfrozen(index))
        part.load_state_dict(trained[choice.modality].encoder.state_dict())
        kept, preparer = MODALITIES[choice.modality].kept(choice, encoder.module)
        if preparer is None:
            path = folder / f"encoder-{choice.modality}.safetensors"
            write_tensors(path, kept.state_dict(), {})
        else:
            path = folder / f"encoder-{choice.modality}"
            _write_folder(path, choice, kept, preparer)
        written.append(path)
    return written


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
        contents.append(ContentFeatures(modality, tensors["vectors"], tensors["present"]))
    return contents


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
    """A folder of transformers: config, weights, and what it came with that prepares the content.

    `preparer` is the class of transformers that loads the latter, such as AutoTokenizer.
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
