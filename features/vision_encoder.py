"""Vision models of transformers (ResNet, ViT, DINOv2, CLIP, …) as picture encoders."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from torch import nn

from ..core.errors import UsageError
from ..core.words import reason_of
from .encoder import ContentEncoder
from .hub import from_pretrained, load_library_model, refuse_no_encoder, settle_pooler, short_name
from .modality import EncoderChoice, Pooling
from .picture_encoder import PictureEncoder
from .pictures import DRAFT_FACTOR, PICTURE_VERSION, PicturePreparation, Pixels, read_rgb
from .weights import hash_weights

BOOKKEEPING = ("processor_class", "auto_map", "image_processor_type", "data_format", "device")


class VisionBackbone(nn.Module):
    """A model of transformers and its pooling: normalised pixels (B, 3, H, W) -> (B, D)."""

    def __init__(self, model: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode and pool."""
        output = self.model(pixel_values=pixels)
        if self.pooling == "pooler":
            pooled: torch.Tensor = output.pooler_output
            return pooled.flatten(1)
        states: torch.Tensor = output.last_hidden_state
        if self.pooling == "cls":
            return states[:, 0]
        return states.mean(dim=1) if states.ndim == 3 else states.mean(dim=(2, 3))


def load_vision_encoder(choice: EncoderChoice) -> ContentEncoder:
    """Load a vision model and its own image processor from the hub, its cache or a local folder.

    Of a model of pictures and texts (CLIP, SigLIP) the part for pictures is taken. Raises UsageError.
    """
    config = from_pretrained(transformers.AutoConfig, choice.encoder)
    config = getattr(config, "vision_config", config)
    model, absent = load_library_model(choice, config)
    maps = hasattr(config, "hidden_sizes")  # convolutions: a map of features, no tokens
    usual: Pooling = "pooler" if maps or config.model_type.endswith("_vision_model") else "cls"
    pooling = choice.pooling or usual
    if choice.pooling == "last":
        raise UsageError("--pooling last: a picture has no last token; leave the option out")
    if maps and choice.pooling == "cls":
        raise UsageError(f"--pooling cls: {choice.encoder} has no class token; leave the option out")
    settle_pooler(model, absent, choice, pooling)
    dimension = int(config.hidden_sizes[-1] if maps else getattr(config, "hidden_size", 0))
    backbone = VisionBackbone(model.eval().requires_grad_(False), pooling)
    preparation = vision_preparation(choice)
    module = PictureEncoder(backbone, preparation).eval()
    blank = torch.zeros(1, *preparation.shape, dtype=torch.uint8)
    refuse_no_encoder(choice, module, (blank,), dimension)
    key = {
        "architecture": f"transformers {type(model).__name__}",
        "weights": hash_weights(model),
        "preparation": preparation.spec,
        "pooling": pooling,
    }
    name = short_name(choice.encoder, config.model_type, dimension)
    return ContentEncoder(name, dimension, key, preparation.prepare, module)


def vision_preparation(choice: EncoderChoice) -> PicturePreparation:
    """The model's own image processor. Raises UsageError."""
    processor = from_pretrained(transformers.AutoImageProcessor, choice.encoder)
    settings = {
        name: value
        for name, value in json.loads(processor.to_json_string()).items()
        if name not in BOOKKEEPING and value is not None
    }
    try:
        blank = _process(Image.new("RGB", (64, 64)), processor)
    except Exception as error:  # noqa: BLE001 - a processor of something else than pictures
        raise UsageError(
            f"--encoder {choice.encoder}: its preprocessor makes no pictures ({reason_of(error)}); pass the "
            "folder of a vision model"
        ) from None
    return PicturePreparation(
        functools.partial(process_picture, processor=processor),
        blank.shape,
        list(processor.image_mean),
        list(processor.image_std),
        {**settings, "version": PICTURE_VERSION, "draft_factor": DRAFT_FACTOR},
    )


def process_picture(content: bytes, processor: Any) -> Pixels:
    """Decode, then resize and crop as the model's own processor does: (3, H, W) uint8.

    Raises BadContentError.
    """
    longest = max(value for value in dict(processor.size).values() if value)
    return _process(read_rgb(content, longest), processor)


def _process(picture: Image.Image, processor: Any) -> Pixels:
    done = processor(picture, do_rescale=False, do_normalize=False, return_tensors="np")
    pixels: Pixels = np.asarray(done["pixel_values"][0]).astype(np.uint8)
    return pixels
