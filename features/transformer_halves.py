"""Splitting a transformer in two: one model with its first blocks, and one with the last.

Libraries keep the blocks of a model in a list, whose place differs between model families. Each half is a
copy of the model that shares its weights and has a part of the list. The lower half lacks the norm and
pooling after the blocks; the upper half has, in place of the embeddings, a module that passes the lower
half's states through. `encoder_stages` checks that both halves together give the output of the whole.

Shapes: B batch, L tokens or patches, D width.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from .picture_encoder import PictureEncoder
from .text_encoder import TextEncoder

PLACES = (
    "encoder.layer",  # BERT, RoBERTa, ELECTRA, MPNet, DINOv2
    "encoder.layers",  # CLIP, SigLIP, torchvision's ViT
    "transformer.layer",  # DistilBERT
    "layers",  # ViT, DeiT, ModernBERT
)
BEFORE = "pre_layrnorm"  # between embeddings and blocks; CLIP's norm is spelled so
NORMS = ("layernorm", "post_layernorm", "final_norm")  # behind the blocks


class _Given(nn.Module):
    """Replaces a model's embeddings and returns the given states unchanged.

    Other attributes are those of the replaced embeddings: ViT, for example, reads the dtype of their weights.
    """

    def __init__(self, embeddings: nn.Module) -> None:
        super().__init__()
        self._replaced = (embeddings,)  # in a tuple, so that its weights are not the half's

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._replaced[0], name)

    def forward(self, *given: Tensor | None, inputs_embeds: Tensor | None = None, **_: Any) -> Tensor:
        """Return the states; families pass them as different arguments, with None for token ids."""
        return next(states for states in (inputs_embeds, *given) if states is not None)


class LowerTexts(nn.Module):
    """The first blocks: ids and mask (B, L) -> states (B, L, D), zero at padding, and the mask."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.backbone = model

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encode."""
        states = self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        return states * mask.unsqueeze(-1), mask


class UpperTexts(nn.Module):
    """The last blocks and the pooling: states (B, L, D) and mask (B, L) -> (B, D)."""

    def __init__(self, model: nn.Module, whole: TextEncoder) -> None:
        super().__init__()
        self.backbone = model
        self._pool = whole.pool

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Encode and pool."""
        return self._pool(self.backbone(inputs_embeds=states, attention_mask=mask), mask)


class _LowerVision(nn.Module):
    """The first blocks of a model of transformers: normalised pixels (B, 3, H, W) -> states (B, L, D)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode."""
        states: Tensor = self.model(pixel_values=pixels).last_hidden_state
        return states


class _LowerTorchvision(nn.Module):
    """The first blocks of torchvision's ViT: normalised pixels (B, 3, H, W) -> states (B, L, D)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = with_part(model, "encoder.ln", nn.Identity())

    def forward(self, pixels: Tensor) -> Tensor:
        """Patches and the class token before them, through the blocks."""
        patches = self.model._process_input(pixels)
        first = self.model.class_token.expand(len(patches), -1, -1)
        states: Tensor = self.model.encoder(torch.cat([first, patches], dim=1))
        return states


class _UpperTorchvision(nn.Module):
    """The last blocks of torchvision's ViT: states (B, L, D) -> (B, D)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.layers, self.norm, self.heads = model.encoder.layers, model.encoder.ln, model.heads

    def forward(self, states: Tensor) -> Tensor:
        """Encode and take the class token's state."""
        vectors: Tensor = self.heads(self.norm(self.layers(states))[:, 0])
        return vectors


def transformer_blocks(module: nn.Module) -> list[nn.Module]:
    """The transformer blocks of an encoder; none where they are in no place that is known."""
    model = model_of(module)
    place = _place(model)
    blocks: Any = model.get_submodule(place) if place else []
    return list(blocks)


def model_of(module: nn.Module) -> nn.Module:
    """The library's own model in an encoder of texts or pictures."""
    backbone = getattr(module, "backbone", module)
    return getattr(backbone, "model", backbone)


def text_halves(module: TextEncoder, frozen: int) -> tuple[LowerTexts, UpperTexts]:
    """A text encoder's first `frozen` blocks, and the rest."""
    lower, upper = _halves(module.backbone, frozen)
    return LowerTexts(lower), UpperTexts(upper, module)


def picture_halves(module: PictureEncoder, frozen: int) -> tuple[nn.Module, nn.Module]:
    """A vision transformer's first `frozen` blocks, behind normalised pixels, and the rest."""
    lower, upper = _halves(model_of(module), frozen)
    if hasattr(lower, "_process_input"):
        return _LowerTorchvision(lower), _UpperTorchvision(upper)
    return _LowerVision(lower), with_part(module.backbone, "model", upper)


def _halves(model: nn.Module, frozen: int) -> tuple[nn.Module, nn.Module]:
    place = _place(model)
    blocks: Any = model.get_submodule(place)
    lower = with_part(model, place, type(blocks)(*_listed(blocks, slice(frozen))))
    upper = with_part(model, place, type(blocks)(*_listed(blocks, slice(frozen, None))))
    # What follows the blocks belongs to the upper half, so the lower half has the identity there.
    for name in NORMS:
        if name in lower._modules:
            lower = with_part(lower, name, nn.Identity())
    if "pooler" in lower._modules:
        lower = with_part(lower, "pooler", None)
    # And what precedes them belongs to the lower half.
    if BEFORE in upper._modules:
        upper = with_part(upper, BEFORE, nn.Identity())
    if "embeddings" in upper._modules:
        upper = with_part(upper, "embeddings", _Given(upper.get_submodule("embeddings")))
    return lower, upper


def _listed(blocks: nn.ModuleList | nn.Sequential, part: slice) -> list[Any]:
    """Arguments of the constructor: a list of blocks for a ModuleList, the blocks for a Sequential."""
    chosen = list(blocks)[part]
    return [chosen] if isinstance(blocks, nn.ModuleList) else chosen


def _place(model: nn.Module) -> str:
    """Where the blocks are; "" where there are none."""
    for place in PLACES:
        try:
            found = model.get_submodule(place)
        except AttributeError:
            continue
        if isinstance(found, nn.ModuleList | nn.Sequential) and len(found):
            return place
    return ""


def with_part(module: nn.Module, path: str, part: nn.Module | None) -> nn.Module:
    """The same module, weights shared, with another part at `path`; `module` itself stays as it is."""
    name, _, rest = path.partition(".")
    child = module._modules[name]
    if rest:
        assert child is not None
        part = with_part(child, rest, part)
    # A shallow copy has the same weights. Only its table of parts is new, so the part is not set in `module`.
    other = copy.copy(module)
    other._modules = {**module._modules, name: part}
    return other
