"""Adapters: a few weights inside a frozen encoder that are trained in place of its own.

lora     low-rank updates beside weights that stay as they are (Hu et al., "LoRA: Low-Rank Adaptation of Large
         Language Models", ICLR 2022), by the library peft: beside the query and value projections of
         attention as in the paper; in torchvision's transformers, whose attention has one weight for all
         three, beside the feed-forward layers; in a convolutional network beside its convolutions.
houlsby  two bottlenecks a transformer block (features/houlsby.py).

The layers that get an adapter are found by the names that libraries give them. An encoder with none of these
names is refused, because training would otherwise run without any adapter and nobody would notice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import UsageError
from .encoder_stages import first_trained, split_encoder
from .houlsby import WithBottleneck
from .modality import ALL, AdapterKind

# The endings of layer names, by library and model family: query and value projections for lora.
QUERY_VALUE = (
    *("query", "value"),  # BERT, RoBERTa, ELECTRA, ALBERT
    *("query_proj", "value_proj"),  # DeBERTa
    *("q_lin", "v_lin"),  # DistilBERT
    *("q", "v"),  # MPNet
    "Wqkv",  # ModernBERT: all three in one
    *("q_proj", "v_proj"),  # ViT, DINOv2, CLIP, SigLIP
)
TORCHVISION_FEED_FORWARD = ("mlp.0", "mlp.3")
ATTENTION_ENDS = (
    "attention.output.dense",  # BERT, RoBERTa, ELECTRA, DeBERTa
    "attention.dense",  # ALBERT
    "attention.out_lin",  # DistilBERT
    "attn.o",  # MPNet
    "attn.Wo",  # ModernBERT
    "attention.o_proj",  # ViT, DINOv2
    "self_attn.out_proj",  # CLIP, SigLIP
    "self_attention",  # torchvision's ViT
)
FEED_FORWARD_ENDS = ("output.dense", "ffn_output", "ffn.lin2", "mlp.Wo", "mlp.fc2", "mlp.3")  # as above


def trained_part(module: nn.Module, unfreeze: str) -> nn.Module:
    """The part of an encoder that trains: all of it, or what lies above the boundary; weights are shared.

    Raises UsageError for a boundary that the encoder does not have.
    """
    if unfreeze == ALL:
        return module.requires_grad_(True)
    return split_encoder(module, first_trained(module, unfreeze)).upper


def adapted_part(module: nn.Module, unfreeze: str, kind: AdapterKind, dim: int, seed: int) -> nn.Module:
    """The trained part with adapters, which alone require gradients; `module` itself is changed.

    Raises UsageError where the encoder has no layers that such an adapter fits.
    """
    inside = set(trained_part(module, unfreeze).modules())
    own = set(module.parameters())
    named = [(name, layer) for name, layer in module.named_modules() if layer in inside]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "lora":
            _add_lora(module, _lora_places(named), dim)
        else:
            for name in _houlsby_places(named):
                module.set_submodule(name, WithBottleneck(module.get_submodule(name), dim))
    # Split again, because a stage that consists of one layer has been replaced by its adapted layer.
    part = trained_part(module, unfreeze)
    for weight in part.parameters():
        weight.requires_grad_(weight not in own)
    return part


def adapter_weights(part: nn.Module) -> dict[str, Tensor]:
    """The trained weights of a part with adapters, by name."""
    return {name: weight for name, weight in part.named_parameters() if weight.requires_grad}


def _lora_places(named: list[tuple[str, nn.Module]]) -> list[str]:
    """The names of the layers that get a low-rank update."""
    linear = [name for name, layer in named if isinstance(layer, nn.Linear)]
    convolutions = [name for name, layer in named if isinstance(layer, nn.Conv2d) and layer.groups == 1]
    found = _in_blocks(linear, _ends(QUERY_VALUE)) or _in_blocks(linear, _ends(TORCHVISION_FEED_FORWARD))
    if not found and len(convolutions) > len(linear):
        found = convolutions
    if not found:
        raise UsageError(
            "--adapter lora: this encoder has no attention of a known name, and is no convolutional "
            "network; take a BERT-family model, a vision transformer or a ResNet, or leave the option out"
        )
    return found


def _houlsby_places(named: list[tuple[str, nn.Module]]) -> list[str]:
    """The names of the layers that end a block's attention and its feed-forward part."""
    names = [name for name, layer in named if isinstance(layer, nn.Linear | nn.MultiheadAttention)]
    attention = _in_blocks(names, _ends(ATTENTION_ENDS))
    feed_forward = [name for name in _in_blocks(names, _ends(FEED_FORWARD_ENDS)) if name not in attention]
    if not attention or len(attention) != len(feed_forward):
        raise UsageError(
            "--adapter houlsby: this encoder has no transformer blocks with names that are known; take a "
            "BERT-family model or a vision transformer, or for a convolutional network --adapter lora"
        )
    return attention + feed_forward


def _ends(endings: tuple[str, ...]) -> Callable[[str], bool]:
    return lambda name: any(f".{name}".endswith(f".{ending}") for ending in endings)


def _in_blocks(names: list[str], fits: Callable[[str], bool]) -> list[str]:
    """The names that fit and have a number in them: blocks are numbered, heads and poolers are not."""
    return [name for name in names if fits(name) and any(part[-1].isdigit() for part in name.split(".")[:-1])]


def _add_lora(module: nn.Module, names: list[str], rank: int) -> None:
    """Put updates of `rank` beside the layers called `names`; they start at zero."""
    try:
        import peft
    except ImportError:
        raise UsageError("--adapter lora needs peft: pip install 'tssr[adapters]'") from None
    # The update is multiplied by alpha / rank. With alpha = rank that is 1 for every rank, so that the same
    # learning rate fits all of them.
    config: Any = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=names)
    peft.inject_adapter_in_model(config, module)
