"""An encoder as a sequence of stages, so that a lower part can stay frozen and the upper part be trained.

The stages of a convolutional network are the modules that its forward pass calls one after another (`conv1` …
`layer4`, or `features.10`); those of a transformer are its blocks, numbered from 0. A library may write a
forward pass that is not such a sequence. So every split is tried on a random input, and refused where the two
halves together do not give the output of the whole.

Shapes: B batch, L tokens, D width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import UsageError
from ..core.words import first_few
from .picture_encoder import PictureEncoder
from .text_encoder import TextEncoder
from .transformer_halves import model_of, picture_halves, text_halves, transformer_blocks

LAST = "last:"
_SHOWN = 12  # names of stages in a message
_TRIED = 2  # contents that try a split
_SIDE = 96  # of the pictures among them, in pixels, where the model takes any
_TOLERANCE = 1e-4


class StagedEncoder(nn.Module):
    """A frozen lower part, in evaluation mode and without a graph, and an upper part that is trained."""

    def __init__(self, lower: nn.Module, upper: nn.Module) -> None:
        super().__init__()
        self.lower, self.upper = lower.requires_grad_(False), upper.requires_grad_(True)

    def train(self, mode: bool = True) -> StagedEncoder:
        """The lower part stays in evaluation mode."""
        super().train(mode)
        self.lower.eval()
        return self

    def forward(self, *inputs: Tensor) -> Tensor:
        """The whole encoder: its inputs -> (B, D)."""
        with torch.no_grad():
            boundary = self.lower(*inputs)
        vectors: Tensor = self.upper(*boundary)
        return vectors


class _LowerPictures(nn.Module):
    """Scaled pixels through the first stages: (B, 3, H, W) -> a tuple of the activations."""

    def __init__(self, whole: PictureEncoder, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.scaled = copy.copy(whole)  # shares the buffers, not the list of parts
        self.scaled._modules = {"backbone": nn.Sequential(*stages)}

    def forward(self, pixels: Tensor) -> tuple[Tensor]:
        """Scale and encode."""
        return (self.scaled.activations(pixels),)


class _UpperPictures(nn.Module):
    """The last stages: activations -> (B, D)."""

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.Sequential(*stages)

    def forward(self, activations: Tensor) -> Tensor:
        """Encode and flatten."""
        vectors: Tensor = self.stages(activations)
        return vectors.flatten(1)


def stage_names(module: nn.Module) -> list[str]:
    """The names by which --unfreeze and --until know an encoder's stages; [] where it has none."""
    blocks = transformer_blocks(module)
    if blocks or not _is_pictures(module):
        return [str(number) for number in range(len(blocks))]
    return [name for name, _ in _picture_stages(module, flatten=True)]


def first_trained(module: nn.Module, unfreeze: str, option: str = "--unfreeze") -> int:
    """How many stages stay frozen for `--unfreeze NAME` (NAME and all after it train) or `last:N`.

    Raises UsageError that lists the stages.
    """
    names = stage_names(module)
    if not names:
        raise UsageError(
            f"{option} {unfreeze}: this encoder is no plain sequence of stages; use {option} all"
        )
    count = unfreeze.removeprefix(LAST)
    if unfreeze.startswith(LAST) and count.isdecimal() and 1 <= int(count) < len(names):
        return len(names) - int(count)
    # Not the first stage: nothing below it would be frozen, which `all` says.
    if unfreeze in names and names.index(unfreeze):
        return names.index(unfreeze)
    raise UsageError(
        f"{option} {unfreeze}: say all, last:N with N from 1 to {len(names) - 1}, or a later stage; "
        f"this encoder has {first_few(names, _SHOWN)}"
    )


def last_frozen(module: nn.Module, until: str) -> int:
    """How many stages are in the lower part for `--until NAME`, the last of them, or `--until -N`.

    Raises UsageError that lists the stages.
    """
    names = stage_names(module)
    if until.startswith("-") and until[1:].isdecimal():
        return first_trained(module, f"{LAST}{until[1:]}", "--until")
    if until in names[:-1]:
        return names.index(until) + 1
    raise UsageError(
        f"--until {until}: say -N for all but the last N stages, or the name of one before the last; "
        f"this encoder has {first_few(names, _SHOWN) or 'none, for it is no plain sequence of stages'}"
    )


def split_encoder(module: nn.Module, frozen: int) -> StagedEncoder:
    """Split an encoder behind its first `frozen` stages. The halves share its weights.

    Raises UsageError where the halves would not give what the whole gives.
    """
    if isinstance(module, TextEncoder):
        halves = [StagedEncoder(*text_halves(module, frozen))]
    else:
        assert isinstance(module, PictureEncoder)
        if transformer_blocks(module):
            lower, upper = picture_halves(module, frozen)
            halves = [StagedEncoder(_LowerPictures(module, [lower]), _UpperPictures([upper]))]
        else:
            # Whether the forward pass flattens behind the pooling cannot be seen from the
            # modules, so both are tried.
            halves = [_split_pictures(module, frozen, flatten=flatten) for flatten in (True, False)]
    for staged in halves:
        if _gives_the_same(module, staged):
            return staged
    raise UsageError(
        "this encoder's forward pass is no plain sequence of its stages, so it cannot be split; "
        "use --unfreeze all"
    )


def _is_pictures(module: nn.Module) -> bool:
    return isinstance(module, PictureEncoder)


def _picture_stages(module: nn.Module, *, flatten: bool) -> list[tuple[str, nn.Module]]:
    """The modules that a torchvision model calls in turn; with `flatten`, the pooled map becomes a vector.

    Modules without weights (activations, pooling) belong to the stage before them.
    """
    called: list[tuple[str, nn.Module]] = []
    for name, child in module.backbone.named_children():  # type: ignore[union-attr]
        if isinstance(child, nn.Sequential) and name == "features":
            called += [(f"{name}.{number}", part) for number, part in enumerate(child)]
        elif isinstance(child, nn.AdaptiveAvgPool2d) and flatten:
            called.append((name, nn.Sequential(child, nn.Flatten(1))))
        else:
            called.append((name, child))
    stages: list[tuple[str, list[nn.Module]]] = []
    for name, part in called:
        # A stage begins with each part that has weights.
        if not stages or any(True for _ in part.parameters()):
            stages.append((name, []))
        stages[-1][1].append(part)
    return [(name, nn.Sequential(*parts)) for name, parts in stages]


def _split_pictures(module: PictureEncoder, frozen: int, *, flatten: bool) -> StagedEncoder:
    stages = [stage for _, stage in _picture_stages(module, flatten=flatten)]
    return StagedEncoder(_LowerPictures(module, stages[:frozen]), _UpperPictures(stages[frozen:]))


def _side(module: nn.Module) -> int:
    """The pictures' side: what a vision transformer was made for, as it takes no other."""
    model: Any = model_of(module)
    side = getattr(getattr(model, "config", model), "image_size", _SIDE)
    return int(side if isinstance(side, int) else max(side))


@torch.no_grad()
def _gives_the_same(module: nn.Module, staged: StagedEncoder) -> bool:
    """Whether the halves give the same output as the whole, on a random input."""
    draw = torch.Generator().manual_seed(0)
    if isinstance(module, TextEncoder):
        # The second text is shorter, to try that the halves handle padding as the whole does.
        ids = torch.randint(1, 5, (_TRIED, 6), generator=draw)
        mask = torch.ones_like(ids)
        mask[1, 4:] = 0
        inputs: tuple[Tensor, ...] = (ids, mask)
    else:
        size = _side(module)
        inputs = (torch.randint(0, 256, (_TRIED, 3, size, size), generator=draw, dtype=torch.uint8),)
    mode = module.training
    module.eval(), staged.eval()
    try:
        # In evaluation mode, because dropout would differ between the two.
        whole, halves = module(*inputs), staged(*inputs)
    except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError):
        return False
    finally:
        module.train(mode)
    # Relative to the size of the output; 1e-6 keeps an output of zeros from asking for more than zeros.
    scale = float(whole.abs().max())
    return whole.shape == halves.shape and bool((whole - halves).abs().max() <= _TOLERANCE * max(scale, 1e-6))
