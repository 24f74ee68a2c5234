"""Which loader makes the encoder that a person named; the heavy libraries are imported only when needed."""

from __future__ import annotations

from dataclasses import replace

from .encoder import ContentEncoder
from .settings import EncoderChoice, names_folder


def load_encoder(choice: EncoderChoice) -> ContentEncoder:
    """Build the encoder a person asked for; raises UsageError that says what to pass instead."""
    if choice.material:
        from .material import load_material

        return load_material(choice)
    if choice.until is not None:
        from .activations import lower_part

        return lower_part(load_encoder(replace(choice, until=None)), choice)
    if choice.modality == "text":
        from .text_encoder import load_text_encoder

        return load_text_encoder(choice)
    if names_folder(choice.encoder):
        from .vision_encoder import load_vision_encoder

        return load_vision_encoder(choice)
    from .torchvision_encoder import load_torchvision_encoder

    return load_torchvision_encoder(choice)
