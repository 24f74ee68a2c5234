"""Any BERT-family model as a text encoder, from the hub's cache, the hub or a local folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.constants import ENDPOINT
from torch import nn
from transformers.utils.hub import cached_file

from ..core.errors import UsageError
from ..core.progress import note
from .encoder import Encoder
from .settings import RANDOM, EncoderChoice, Pooling
from .weights import hash_weights

NETWORK_TIMEOUT = 10.0  # seconds
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


def load_text_encoder(choice: EncoderChoice) -> Encoder:
    """Load tokenizer and model; raises UsageError where they cannot be had or do not fit the pooling."""
    speech: Any = transformers.utils.logging  # our own lines say all that matters
    speech.set_verbosity_error()
    speech.disable_progress_bar()
    pooling = choice.pooling or own_pooling(choice.encoder) or "cls"
    auto_model: Any = transformers.AutoModel
    tokenizer = _load(transformers.AutoTokenizer, choice.encoder)
    if choice.weights == RANDOM:
        note(f"--weights random: {choice.encoder} is untrained (seed {choice.seed}); its vectors mean little")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(choice.seed)
            model = auto_model.from_config(_load(transformers.AutoConfig, choice.encoder))
        absent: set[str] = set()
    elif choice.weights is not None:
        raise UsageError(
            f"--weights {choice.weights}: a text encoder's weights lie in its folder; "
            f"pass that as --encoder, or --weights random"
        )
    else:
        model, info = _load(auto_model, choice.encoder, output_loading_info=True, dtype=torch.float32)
        absent = set(info["missing_keys"])
    absent = {name for name in absent if pooling == "pooler" or not name.startswith("pooler.")}
    if absent or (pooling == "pooler" and getattr(model, "pooler", None) is None):
        lacking = ", ".join(sorted(absent)[:3]) or "a pooler"
        raise UsageError(
            f"--encoder {choice.encoder} has no trained weights for {lacking}; choose --pooling cls or mean"
        )
    if getattr(model, "pooler", None) is not None and pooling != "pooler":
        model.pooler = None  # not used, perhaps untrained: it must not decide the hash
    tokens = Tokens(tokenizer, choice.max_tokens)
    key = {
        "architecture": f"transformers {type(model).__name__}",
        "weights": hash_weights(model),
        "preparation": tokens.spec(),
        "pooling": pooling,
    }
    module = TextEncoder(model.eval().requires_grad_(False), pooling)
    dimension = int(model.config.hidden_size)
    return Encoder(
        _short_name(choice.encoder, model.config.model_type, dimension), dimension, key, tokens, module
    )


def own_pooling(encoder: str) -> Pooling | None:
    """The pooling that a sentence encoder's own files ask for; None where they say nothing."""
    path = cached_file(
        encoder,
        "1_Pooling/config.json",
        local_files_only=True,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if path is None:
        return None
    config = json.loads(Path(path).read_text(encoding="utf-8"))
    if config.get("pooling_mode_cls_token"):
        return "cls"
    return "mean" if config.get("pooling_mode_mean_tokens") else None


def _load(kind: Any, encoder: str, **options: Any) -> Any:
    """Load from a local folder or the cache; ask the network only where neither has it."""
    try:
        return kind.from_pretrained(encoder, local_files_only=True, **options)
    except (OSError, ValueError) as error:
        problem: Exception = error
    if not Path(encoder).is_dir():
        try:
            _reach_hub()
            return kind.from_pretrained(encoder, **options)
        except (OSError, ValueError) as error:
            problem = error
    reason = str(problem).strip().splitlines()[0]
    raise UsageError(
        f"--encoder {encoder}: neither a folder with config.json, tokenizer and weights nor in the cache, "
        f"and it could not be downloaded ({reason}); pass a local folder"
    ) from None


def _reach_hub() -> None:
    """Ask the hub for a sign of life once; its own client would retry for most of a minute."""
    with contextlib.suppress(urllib.error.HTTPError):  # an answer, too
        urllib.request.urlopen(ENDPOINT, timeout=NETWORK_TIMEOUT).close()


def _short_name(encoder: str, model_type: str, dimension: int) -> str:
    """How store folders call it: a hub name's last part, a local folder by what it holds."""
    return f"{model_type}-{dimension}" if Path(encoder).is_dir() else encoder.rsplit("/", 1)[-1]
