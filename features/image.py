"""Pictures as a modality: files named in the table of items, for models of torchvision or transformers."""

from __future__ import annotations

from collections.abc import Collection, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.schema import IMAGE
from .modality import EncoderChoice, Modality

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import nn

    from .content_batch import Chunk, ContentBatch, LoaderOptions
    from .encoder import ContentEncoder, Inputs
    from .pictures import PicturePreparation


class ImageModality(Modality):
    """Pictures; every encoder of them reads uint8 pixels (B, 3, H, W)."""

    name = "image"
    noun = "pictures"
    column = IMAGE
    inputs = "pixels"
    encoders = (
        "a torchvision classification model, or a vision model of transformers by hub name or local folder"
    )
    default_encoder = "resnet50"

    @property
    def absent(self) -> Collection[str]:
        """No path in the table, or no file there."""
        from .content import FILE_MISSING, UNNAMED

        return (FILE_MISSING, UNNAMED)

    def scan(self, items: pa.Table, raw: Path, previous: pa.Table | None) -> pa.Table:
        """The hash of every file's bytes."""
        from .content import scan_pictures

        return scan_pictures(items, raw, previous)

    def cure(self, raw: Path, reasons: Collection[str]) -> str:
        """The raw folder is another one, or preprocess found no picture."""
        from .content import UNNAMED

        if set(reasons) == {UNNAMED}:
            return (
                "preprocess found none: put them into the raw folder, or name it with --raw, and preprocess "
                "again"
            )
        return f"is --raw {raw} the right folder?"

    def batches(
        self, content: pa.Table, chunks: list[Chunk], raw: Path, prepare: Any, options: LoaderOptions
    ) -> Generator[ContentBatch]:
        """Pictures decoded by processes or threads."""
        from .batches import picture_batches

        return picture_batches(content, chunks, raw, prepare, options)

    def load_encoder(self, choice: EncoderChoice) -> ContentEncoder:
        """A model of transformers where the name has a folder, else torchvision's."""
        if _names_folder(choice.encoder):
            from .vision_encoder import load_vision_encoder

            return load_vision_encoder(choice)
        from .torchvision_encoder import load_torchvision_encoder

        return load_torchvision_encoder(choice)

    def load_inputs(self, choice: EncoderChoice) -> ContentEncoder:
        """Pixels after the encoder's own resize and crop."""
        from .pixels_and_tokens import pixels_of

        return pixels_of(self._preparation(choice))

    def largest(self, choice: EncoderChoice) -> Inputs:
        """Black pixels, (1, 3, H, W)."""
        import torch

        return (torch.zeros(1, *self._preparation(choice).shape, dtype=torch.uint8),)

    def kept(self, choice: EncoderChoice, module: nn.Module) -> tuple[nn.Module, str | None]:
        """Torchvision's models are a file of weights, those of transformers a folder."""
        backbone: Any = module.backbone
        return (backbone.model, "AutoImageProcessor") if _names_folder(choice.encoder) else (backbone, None)

    def _preparation(self, choice: EncoderChoice) -> PicturePreparation:
        if _names_folder(choice.encoder):
            from .vision_encoder import vision_preparation as preparation
        else:
            from .torchvision_encoder import torchvision_preparation as preparation
        return preparation(choice)


def _names_folder(encoder: str) -> bool:
    """Whether the name means a model of transformers; torchvision's names have no folder."""
    return "/" in encoder or Path(encoder).is_dir()
