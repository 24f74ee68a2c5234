"""Loading the chosen encoder: the whole encoder, its frozen lower part, or the preparation of its inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .encoder import ContentEncoder
from .modality import MODALITIES, EncoderChoice


def load_encoder(choice: EncoderChoice) -> ContentEncoder:
    """Build the encoder a person asked for; raises UsageError that says what to pass instead."""
    if choice.material:
        return MODALITIES[choice.modality].load_inputs(choice)
    if choice.until is not None:
        from .activations import lower_part

        return lower_part(load_encoder(replace(choice, until=None)), choice)
    if choice.layers is not None:
        from .block_states import all_layers

        return all_layers(load_encoder(replace(choice, layers=None)), choice)
    if choice.adapter_weights is not None:
        from .adapter_files import with_adapter

        return with_adapter(load_encoder(replace(choice, adapter_weights=None)), Path(choice.adapter_weights))
    return MODALITIES[choice.modality].load_encoder(choice)
