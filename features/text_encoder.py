"""Any BERT-family model as a text encoder, from the hub's cache, the hub or a local folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import nn

from ..core.errors import UsageError
from .encoder import ContentEncoder
from .hub import from_pretrained, load_model, optional_file, settle_pooler, short_name
from .settings import EncoderChoice, Pooling
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
        output = self.backbone(input_ids=ids, attention_mask=mask)
        if self.pooling == "pooler":
            pooled: torch.Tensor = output.pooler_output
            return pooled
        states: torch.Tensor = output.last_hidden_state
        if self.pooling == "cls":
            return states[:, 0]
        weight = mask.unsqueeze(-1).to(states.dtype)
        return (states * weight).sum(1) / weight.sum(1)


def load_text_encoder(choice: EncoderChoice) -> ContentEncoder:
    """Load tokenizer and model; raises UsageError where they cannot be had or do not fit the pooling."""
    config = from_pretrained(transformers.AutoConfig, choice.encoder)
    model, absent = load_model(choice, config)
    pooling = choice.pooling or own_pooling(choice.encoder) or "cls"
    settle_pooler(model, absent, choice, pooling)
    _refuse_too_long(model, choice)
    tokens = load_tokens(choice)
    key = {
        "architecture": f"transformers {type(model).__name__}",
        "weights": hash_weights(model),
        "preparation": tokens.spec(),
        "pooling": pooling,
    }
    module = TextEncoder(model.eval().requires_grad_(False), pooling)
    dimension = int(config.hidden_size)
    return ContentEncoder(
        short_name(choice.encoder, config.model_type, dimension), dimension, key, tokens, module
    )


def _refuse_too_long(model: nn.Module, choice: EncoderChoice) -> None:
    """Raise UsageError where a text could have more tokens than the model has positions."""
    positions = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    if isinstance(positions, nn.Embedding):
        # RoBERTa counts from behind its padding.
        limit = positions.num_embeddings - (
            positions.padding_idx + 1 if positions.padding_idx is not None else 0
        )
        if choice.max_tokens > limit:
            raise UsageError(
                f"--max-tokens {choice.max_tokens}: {choice.encoder} reads at most {limit} tokens"
            )


def load_tokens(choice: EncoderChoice) -> Tokens:
    """The encoder's own tokenizer. Raises UsageError."""
    return Tokens(from_pretrained(transformers.AutoTokenizer, choice.encoder), choice.max_tokens)


def own_pooling(encoder: str) -> Pooling | None:
    """The pooling that a sentence encoder's own files ask for; None where they say nothing."""
    path = optional_file(encoder, "1_Pooling/config.json")
    if path is None:
        return None
    config = json.loads(path.read_text(encoding="utf-8"))
    if config.get("pooling_mode_cls_token"):
        return "cls"
    return "mean" if config.get("pooling_mode_mean_tokens") else None
