"""Any torchvision classification model as a picture encoder: the vector its classifier would have seen."""

from __future__ import annotations

import difflib
import functools
import socket
from pathlib import Path

import torch
from torch import nn
from torchvision import models

from ..core.errors import UsageError
from ..core.progress import note_once
from .encoder import ContentEncoder
from .modality import RANDOM, EncoderChoice
from .picture_encoder import PictureEncoder
from .pictures import PicturePreparation, ResizeCrop, read_pixels
from .weights import hash_weights, load_weights, read_state_dict

DOWNLOAD_TIMEOUT = 20.0  # seconds without an answer


def classification_models() -> list[str]:
    """The names torchvision has for classification models."""
    return list(models.list_models(module=models))


def load_torchvision_encoder(choice: EncoderChoice) -> ContentEncoder:
    """Build a torchvision model without its last layer, with the weights' own transform.

    Weights from a file, and random ones, take the transform of the first published weights (the paper's:
    short side 256, centre crop 224). Raises UsageError for an unknown model or weights not to be had.
    """
    published = published_weights(choice)
    if choice.weights == RANDOM:
        note_once(
            f"--weights random: {choice.encoder} is untrained (seed {choice.seed}); its vectors mean little"
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(choice.seed)
            backbone = models.get_model(choice.encoder, weights=None)
        dimension = take_head_off(backbone)[1]
    elif choice.weights is not None and Path(choice.weights).is_file():
        backbone = models.get_model(choice.encoder, weights=None)
        dimension = _load_file(backbone, Path(choice.weights))
    else:
        backbone = _download(choice.encoder, published)
        dimension = take_head_off(backbone)[1]
    preparation = torchvision_preparation(choice)
    module = PictureEncoder(backbone.requires_grad_(False), preparation).eval()
    key = {
        "architecture": f"torchvision {choice.encoder}",
        "weights": hash_weights(backbone),
        "preparation": {**preparation.spec, "mean": preparation.mean, "std": preparation.std},
        "pooling": "before the last layer",
    }
    return ContentEncoder(choice.encoder, dimension, key, preparation.prepare, module)


def torchvision_preparation(choice: EncoderChoice) -> PicturePreparation:
    """The weights' own transform."""
    transform = published_weights(choice).transforms()
    resize_crop = ResizeCrop(transform.resize_size[0], transform.crop_size[0], transform.interpolation.value)
    return PicturePreparation(
        functools.partial(read_pixels, resize_crop=resize_crop),
        (3, resize_crop.crop, resize_crop.crop),
        transform.mean,
        transform.std,
        resize_crop.spec(),
    )


def take_head_off(backbone: nn.Module) -> tuple[str, int]:
    """Take the last layer off, and what serves training only; returns its name and input width."""
    name, last = [
        (name, module)
        for name, module in backbone.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    ][-1]
    backbone.set_submodule(name, nn.Identity())
    for auxiliary in ("aux1", "aux2", "AuxLogits"):  # GoogLeNet, Inception
        if hasattr(backbone, auxiliary):
            setattr(backbone, auxiliary, None)
    if hasattr(backbone, "transform_input"):  # set by torchvision where it loads the weights itself
        backbone.transform_input = True  # type: ignore[assignment]
    return name, last.in_features if isinstance(last, nn.Linear) else last.in_channels


def _load_file(backbone: nn.Module, path: Path) -> int:
    """Load a state dict, whatever its number of classes, and cut the last layer; returns the width."""
    state = read_state_dict(path)
    name, dimension = take_head_off(backbone)
    left_out = (f"{name}.", "aux1.", "aux2.", "AuxLogits.")
    load_weights(backbone, {key: state[key] for key in state if not key.startswith(left_out)}, path)
    return dimension


def published_weights(choice: EncoderChoice) -> models.WeightsEnum:
    """The published weights called `choice.weights`; the first ones for a file, `random` or nothing.

    Raises UsageError for an unknown model or unknown weights, and lists those there are.
    """
    known = classification_models()
    if choice.encoder not in known:
        close = ", ".join(difflib.get_close_matches(choice.encoder, known, n=3) or known[:3])
        raise UsageError(
            f"--encoder {choice.encoder}: torchvision has no such classification model; it has {close}, …"
        )
    published: type[models.WeightsEnum] = models.get_model_weights(choice.encoder)
    if choice.weights in published.__members__:
        return published[str(choice.weights)]
    if choice.weights in (None, RANDOM) or Path(str(choice.weights)).is_file():
        return next(iter(published.__members__.values()))
    raise UsageError(
        f"--weights {choice.weights}: neither a file nor published for {choice.encoder} "
        f"({', '.join(published.__members__)}), nor 'random'"
    )


def _download(encoder: str, weights: models.WeightsEnum) -> nn.Module:
    """Build the model with published weights, from torch's cache or the network."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        model: nn.Module = models.get_model(encoder, weights=weights)
        return model
    except (OSError, RuntimeError) as error:
        file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]
        raise UsageError(
            f"weights {weights.name} of {encoder} are not at {file} and could not be downloaded ({error}); "
            f"put them there, or pass --weights FILE with a state dict, or --weights random to try things out"
        ) from None
    finally:
        socket.setdefaulttimeout(before)
