"""Loading the chosen encoder: the whole encoder, its frozen lower part, or the preparation of its inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..core.errors import TssrError
from ..core.words import reason_of
from .encoder import ContentEncoder
from .modality import MODALITIES, EncoderChoice


def load_encoder(choice: EncoderChoice) -> ContentEncoder:
    """Build the encoder a person asked for.

    Raises UsageError that says what to pass instead, and TssrError where torch and torchvision are no pair.
    """
    _refuse_odd_pair()
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


def _refuse_odd_pair() -> None:
    """Raise TssrError for a torchvision that was built for another torch.

    It fails on import, and takes with it the text encoders of transformers, which import it where it is
    installed and then report that there is no BertModel.
    """
    try:
        import torchvision  # noqa: F401
    except ModuleNotFoundError:
        return  # text encoders need none
    except (ImportError, OSError, RuntimeError) as error:
        raise TssrError(
            f"torch and torchvision are no pair ({reason_of(error)}); let pip choose both: "
            "pip install --upgrade torch torchvision"
        ) from None
