"""Reading content, encoders, the feature store; and which modalities there are, the default one first."""

from .image import ImageModality
from .modality import register
from .text import TextModality

register(ImageModality(), TextModality())
