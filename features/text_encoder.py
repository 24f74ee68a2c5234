"""Any BERT-family model as a text encoder, from the hub's cache, the hub or a local folder.

Of an encoder-decoder (T5) only the encoder is used. A causal model (GPT-2) reads from left to right, so the
state of its first token does not depend on the rest of the text; the last token or the mean is used instead.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import nn

from ..core.artifacts import parse_json
from ..core.errors import UsageError
from ..core.words import reason_of
from .encoder import ContentEncoder
from .hub import (
    from_pretrained,
    load_library_model,
    optional_file,
    refuse_no_encoder,
    settle_pooler,
    short_name,
)
from .modality import EncoderChoice, Pooling
from .weights import hash_weights

TEXT_VERSION = 1  # raise it when the same text would give other tokens


@dataclass(frozen=True)
class Tokens:
    """Texts to token ids, as the encoder's own tokenizer does it, cut at `length` tokens."""

    tokenizer: Any
    length: int

    @property
    def padding(self) -> int:
        """The id that fills short texts up."""
        return int(self.tokenizer.pad_token_id or 0)

    def __call__(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included."""
        ids: list[list[int]] = self.tokenizer(texts, truncation=True, max_length=self.length)["input_ids"]
        return ids

    def spec(self) -> dict[str, Any]:
        """What decides the tokens, for the store's key."""
        state = json.loads(self.tokenizer.backend_tokenizer.to_str())
        state.pop("truncation"), state.pop("padding")  # set by whoever called last
        digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
        return {"tokenizer": digest, "max_tokens": self.length, "version": TEXT_VERSION}


class TextEncoder(nn.Module):
    """A BERT-family model and its pooling: (B, L) token ids and mask -> (B, D)."""

    def __init__(self, backbone: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encode and pool; `mask` is 1 at tokens and 0 at padding."""
        return self.pool(self.backbone(input_ids=ids, attention_mask=mask), mask)

    def pool(self, output: Any, mask: torch.Tensor) -> torch.Tensor:
        """What the backbone gives -> (B, D)."""
        if self.pooling == "pooler":
            pooled: torch.Tensor = output.pooler_output
            return pooled
        states: torch.Tensor = output.last_hidden_state
        if self.pooling == "cls":
            return states[:, 0]
        if self.pooling == "last":
            # Padding stands on the right, so the last token has the place length - 1.
            return states[torch.arange(len(states)), mask.sum(dim=1) - 1]
        weight = mask.unsqueeze(-1).to(states.dtype)
        return (states * weight).sum(1) / weight.sum(1)


def load_text_encoder(choice: EncoderChoice) -> ContentEncoder:
    """Load tokenizer and model; raises UsageError where they cannot be had or do not fit the pooling."""
    config = from_pretrained(transformers.AutoConfig, choice.encoder)
    model, absent = load_library_model(choice, config)
    both_halves = bool(getattr(config, "is_encoder_decoder", False))
    if both_halves:
        model = model.get_encoder()
    model.eval()
    tokens = load_tokens(choice)
    _refuse_too_long(model, config, choice)
    causal = reads_from_left_to_right(model, int(getattr(config, "vocab_size", 5)))
    pooling = choice.pooling or own_pooling(choice.encoder) or ("mean" if causal or both_halves else "cls")
    if causal and pooling in ("cls", "pooler"):
        raise UsageError(
            f"--pooling {pooling}: {choice.encoder} reads from left to right, so its first token knows "
            "nothing of the text behind it; choose --pooling mean or last"
        )
    settle_pooler(model, absent, choice, pooling)
    key = {
        "architecture": f"transformers {type(model).__name__}",
        "weights": hash_weights(model),
        "preparation": tokens.spec(),
        "pooling": pooling,
    }
    module = TextEncoder(model.requires_grad_(False), pooling).eval()
    dimension = int(getattr(config, "hidden_size", 0))
    ids = torch.tensor([tokens(["a text"])[0] or [0]])
    refuse_no_encoder(choice, module, (ids, torch.ones_like(ids)), dimension)
    return ContentEncoder(
        short_name(choice.encoder, config.model_type, dimension), dimension, key, tokens, module
    )


@torch.inference_mode()
def reads_from_left_to_right(model: nn.Module, vocabulary: int) -> bool:
    """Whether the first token's vector is the same whatever follows it; tried on two texts.

    False also for a model that needs more than token ids, which is refused later for that reason.
    """
    # The first token is the same, what follows it is not.
    ids = torch.tensor([[0, 1, 2], [0, 3, 4]]) % vocabulary
    try:
        first, other = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0]
    except Exception:  # noqa: BLE001 - whatever a model of another kind does with token ids
        return False
    return bool(torch.allclose(first, other, rtol=1e-5, atol=1e-6))


def _refuse_too_long(model: nn.Module, config: Any, choice: EncoderChoice) -> None:
    """Raise UsageError where a text could have more tokens than the model has positions."""
    limit = getattr(config, "max_position_embeddings", None)
    positions = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    if isinstance(positions, nn.Embedding):
        # RoBERTa counts from behind its padding.
        limit = positions.num_embeddings - (
            positions.padding_idx + 1 if positions.padding_idx is not None else 0
        )
    if limit is not None and choice.max_tokens > limit:
        raise UsageError(f"--max-tokens {choice.max_tokens}: {choice.encoder} reads at most {limit} tokens")


def load_tokens(choice: EncoderChoice) -> Tokens:
    """The encoder's own tokenizer. Raises UsageError."""
    return Tokens(from_pretrained(transformers.AutoTokenizer, choice.encoder), choice.max_tokens)


def own_pooling(encoder: str) -> Pooling | None:
    """The pooling that a sentence encoder's own files ask for; None where they say nothing."""
    path = optional_file(encoder, "1_Pooling/config.json")
    if path is None:
        return None
    try:
        config = dict(parse_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"--encoder {encoder}: {path} is damaged ({reason_of(error)})") from None
    modes: dict[str, Pooling] = {"cls_token": "cls", "mean_tokens": "mean", "lasttoken": "last"}
    return next((pooling for mode, pooling in modes.items() if config.get(f"pooling_mode_{mode}")), None)
