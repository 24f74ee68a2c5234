"""Texts as a modality: a column of the table of items, read by BERT-family models of transformers."""

from __future__ import annotations

from collections.abc import Collection, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.schema import TEXT
from .modality import EncoderChoice, Modality

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import nn

    from .content_batch import Chunk, ContentBatch, LoaderOptions
    from .encoder import ContentEncoder, Inputs


class TextModality(Modality):
    """Texts; every encoder of them reads token ids and mask, (B, L) each."""

    name = "text"
    noun = "texts"
    column = TEXT
    inputs = "tokens"
    encoders = "a BERT-family model, by hub name or local folder"
    default_encoder = "bert-base-uncased"
    sequences = True

    @property
    def absent(self) -> Collection[str]:
        """No text, or only white space."""
        from .content import NO_TEXT

        return (NO_TEXT,)

    def scan(self, items: pa.Table, raw: Path, previous: pa.Table | None) -> pa.Table:
        """The hash of every text. Texts are in memory, so no hash of the last scan is needed."""
        from .content import scan_texts

        return scan_texts(items)

    def cure(self, raw: Path, reasons: Collection[str]) -> str:
        """The data set has no texts."""
        return "give them texts with: tssr preprocess custom … --map text=COLUMN"

    def batches(
        self, content: pa.Table, chunks: list[Chunk], raw: Path, prepare: Any, options: LoaderOptions
    ) -> Generator[ContentBatch]:
        """Token ids, sorted by length."""
        from .batches import text_batches

        return text_batches(content, chunks, prepare, options)

    def load_encoder(self, choice: EncoderChoice) -> ContentEncoder:
        """A model of transformers with its tokenizer and pooling."""
        from .text_encoder import load_text_encoder

        return load_text_encoder(choice)

    def load_inputs(self, choice: EncoderChoice) -> ContentEncoder:
        """Token ids filled up to --max-tokens."""
        from .pixels_and_tokens import token_ids_of
        from .text_encoder import load_tokens

        return token_ids_of(load_tokens(choice))

    def largest(self, choice: EncoderChoice) -> Inputs:
        """A text of --max-tokens tokens: ids and mask, (1, L) each."""
        import torch

        ids = torch.ones(1, choice.max_tokens, dtype=torch.int64)
        return ids, ids

    def kept(self, choice: EncoderChoice, module: nn.Module) -> tuple[nn.Module, str | None]:
        """A folder of transformers."""
        backbone: Any = module.backbone
        return backbone, "AutoTokenizer"
