"""The module that every picture encoder runs: scaling of the pixels, then a vision model."""

from __future__ import annotations

import torch
from torch import nn

from .pictures import PicturePreparation


class PictureEncoder(nn.Module):
    """A backbone fed with uint8 pixels: (B, 3, H, W) -> (B, D)."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, backbone: nn.Module, preparation: PicturePreparation) -> None:
        super().__init__()
        self.backbone = backbone
        for name in ("mean", "std"):
            # They are given for pixels between 0 and 1, and these are bytes between 0 and 255.
            value = 255 * torch.tensor(getattr(preparation, name)).view(3, 1, 1)
            self.register_buffer(name, value, persistent=False)
        self.to(memory_format=torch.channels_last)  # convolutions are faster so

    def activations(self, pixels: torch.Tensor) -> torch.Tensor:
        """Scale the pixels as the weights expect, then encode; the output has the backbone's own shape."""
        pixels = pixels.to(memory_format=torch.channels_last)
        activations: torch.Tensor = self.backbone((pixels - self.mean) / self.std)
        return activations

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Scale, encode and flatten."""
        return self.activations(pixels).flatten(1)
