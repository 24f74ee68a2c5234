"""Loading models of transformers from a local folder, the hub's cache, or the hub itself."""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.constants import ENDPOINT
from torch import nn
from transformers.utils.hub import cached_file

from ..core.errors import UsageError
from ..core.progress import note_once
from ..core.words import reason_of
from .encoder import Inputs
from .modality import RANDOM, EncoderChoice

NETWORK_TIMEOUT = 10.0  # seconds


def from_pretrained(kind: Any, encoder: str, **options: Any) -> Any:
    """Load a config, tokenizer, processor or model; the network is asked only where no copy is at hand.

    Raises UsageError that says what to pass instead.
    """
    try:
        return kind.from_pretrained(encoder, local_files_only=True, **options)
    except Exception as error:  # noqa: BLE001 - the readers raise many kinds for files that are not theirs
        problem: Exception = error
    if Path(encoder).is_dir():
        raise UsageError(
            f"--encoder {encoder}: no encoder of this kind, or one with a damaged file "
            f"({reason_of(problem)}); a folder needs config.json, model.safetensors and the tokenizer or "
            "preprocessor"
        ) from None
    try:
        _reach_hub()
        return kind.from_pretrained(encoder, **options)
    except Exception as error:  # noqa: BLE001 - as above, and what a network can do
        problem = error
    raise UsageError(
        f"--encoder {encoder}: neither a folder with a model's files nor in the hub's cache, and it could "
        f"not be downloaded ({reason_of(problem)}); pass a local folder with config.json, model.safetensors "
        f"and the tokenizer or preprocessor"
    ) from None


def refuse_no_encoder(choice: EncoderChoice, module: nn.Module, inputs: Inputs, dimension: int) -> None:
    """Raise UsageError where the model does not make a vector of `dimension` numbers from one content.

    `inputs` are a batch of one valid content. The folder may hold a model of another kind, such as an image
    generator or a speech recogniser.
    """
    try:
        with torch.inference_mode():
            found = tuple(module(*inputs).shape)
    except Exception as error:  # noqa: BLE001 - whatever a model of another kind does with such inputs
        found, why = (), f" ({reason_of(error)})"
    else:
        why = f" (it gives {' x '.join(map(str, found))} numbers)"
    if found != (1, dimension):
        raise UsageError(
            f"--encoder {choice.encoder}: its model makes no vector of {choice.modality} content{why}; pass "
            "another encoder, or another --pooling"
        )


def load_library_model(choice: EncoderChoice, config: Any) -> tuple[Any, set[str]]:
    """The model described by `config`, in float32, and the names of its weights that no file had."""
    speech: Any = transformers.utils.logging  # silenced; our own messages say what matters
    speech.set_verbosity_error()
    speech.disable_progress_bar()
    auto_model: Any = transformers.AutoModel
    if choice.weights == RANDOM:
        note_once(
            f"--weights random: {choice.encoder} is untrained (seed {choice.seed}); its vectors mean little"
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(choice.seed)
            try:
                return auto_model.from_config(config), set()
            except Exception as error:  # noqa: BLE001 - as many kinds as there are models
                why = reason_of(error)
        raise UsageError(f"--encoder {choice.encoder}: no model can be made of its config.json ({why})")
    if choice.weights is not None:
        raise UsageError(
            f"--weights {choice.weights}: {choice.encoder} has its weights beside its config.json; leave "
            "--weights out (where another modality needs it, give each a command of its own), or say random"
        )
    model, info = from_pretrained(
        auto_model, choice.encoder, config=config, output_loading_info=True, dtype=torch.float32
    )
    return model, set(info["missing_keys"])


def settle_pooler(model: Any, absent: set[str], choice: EncoderChoice, pooling: str) -> None:
    """Remove a pooler that is not used: where it has no trained weights, random ones would enter the hash.

    Raises UsageError where weights that are used are untrained.
    """
    if pooling != "pooler":
        absent = {name for name in absent if not name.startswith("pooler.")}
        pooler = getattr(model, "pooler", None)
        if pooler is not None and any(True for _ in pooler.parameters()):
            model.pooler = None
    elif getattr(model, "pooler", None) is None and not hasattr(model, "post_layernorm"):
        absent = {"a pooler"}
    if absent:
        raise UsageError(
            f"--encoder {choice.encoder} has no trained weights for {', '.join(sorted(absent)[:3])}; "
            f"choose --pooling cls or mean, or another encoder"
        )


def optional_file(encoder: str, name: str) -> Path | None:
    """A further file of an encoder; None where it has no such file or it cannot be reached."""
    lenient = {
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": False,
    }
    found = cached_file(encoder, name, local_files_only=True, **lenient)
    if found is None and not Path(encoder).is_dir():
        with contextlib.suppress(OSError):
            _reach_hub()
            found = cached_file(encoder, name, **lenient)
    return Path(found) if found else None


def short_name(encoder: str, model_type: str, dimension: int) -> str:
    """The encoder's name in store folders: the last part of a hub name; for a folder, its type and width."""
    return f"{model_type}-{dimension}" if Path(encoder).is_dir() else encoder.rsplit("/", 1)[-1]


def _reach_hub() -> None:
    """Check once that the hub can be reached; without this, its client retries for most of a minute."""
    with contextlib.suppress(urllib.error.HTTPError):  # an error code is an answer too
        urllib.request.urlopen(ENDPOINT, timeout=NETWORK_TIMEOUT).close()
