"""The interface of a modality, that is, a kind of content such as pictures or texts.

Everything that differs between pictures and texts is in `image.py` and `text.py`, one subclass of `Modality`
each; the stages call its methods and never test which modality it is. To add audio, for example, write a
subclass in a file of its own and add it in `features/__init__.py`; its content, or the path of it, is a
column of the table of items.

Nothing heavy is imported here, because settings and help texts read the registry of modalities; a modality's
methods import what they need when they are called.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..core.words import unknown_name

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import nn

    from .content_batch import Chunk, ContentBatch, LoaderOptions
    from .encoder import ContentEncoder, Inputs

Pooling = Literal["cls", "pooler", "mean", "last"]
AdapterKind = Literal["lora", "houlsby", "side"]
RANDOM = "random"  # --weights random: drawn from the seed
ALL = "all"  # of --unfreeze: the whole encoder; of --layers: every block
LAYERS = "layers"  # the kind of a store that holds the states of all blocks


@dataclass(frozen=True)
class EncoderChoice:
    """The options that choose one modality's encoder, and what of it is stored."""

    modality: str
    encoder: str
    weights: str | None
    pooling: Pooling | None
    max_tokens: int
    seed: int
    material: bool = False  # store the encoder's inputs (pixels, tokens) in place of vectors
    until: str | None = None  # store the outputs of the encoder's stages up to this one in place of vectors
    adapter_weights: str | None = None  # a file with an adapter to put into the encoder
    layers: str | None = None  # "all": store the pooled states after all blocks in place of vectors

    def sources(self) -> dict[str, str]:
        """The values that may name local files or folders, by option."""
        values = {
            "encoder": self.encoder,
            "weights": self.weights,
            "adapter_weights": self.adapter_weights,
        }
        return {name: value for name, value in values.items() if value is not None}

    def record(self) -> dict[str, Any]:
        """The values that decide the vectors, as plain JSON, without those that this choice does not use."""
        values: dict[str, Any] = {
            "modality": self.modality,
            "encoder": self.encoder,
            "weights": self.weights,
            "pooling": self.pooling,
            "material": self.material,
        }
        for name in ("until", "adapter_weights", "layers"):
            if getattr(self, name) is not None:
                values[name] = getattr(self, name)
        if MODALITIES[self.modality].sequences:
            values["max_tokens"] = self.max_tokens
        if self.weights == RANDOM:
            values["seed"] = self.seed
        return values


class Modality(ABC):
    """One kind of content: its names, how it is found and read, and which encoders exist for it."""

    name: ClassVar[str]  # as --modality and --features say it
    noun: ClassVar[str]  # contents of this kind, in a sentence: "3 of 20 pictures missing"
    column: ClassVar[str]  # of the table of items: the content itself, or the path of its file
    inputs: ClassVar[str]  # the kind of store that holds what whole encoders read, such as pixels
    encoders: ClassVar[str]  # what --encoder may name, for the help
    default_encoder: ClassVar[str]
    sequences: ClassVar[bool] = False  # whether contents are sequences of up to --max-tokens, with a mask

    @property
    @abstractmethod
    def absent(self) -> Collection[str]:
        """The reasons of `scan` that mean that an item has no content; others mean unusable content."""

    @abstractmethod
    def scan(self, items: pa.Table, raw: Path, previous: pa.Table | None) -> pa.Table:
        """Each item's content as a table of `content.CONTENT`, item 1 first.

        `items` has `column`, `raw` is the folder of the dump; hashes of `previous`, the last scan, may serve
        where a file is unchanged. Raises DataError where the raw folder is needed and missing.
        """

    @abstractmethod
    def cure(self, raw: Path, reasons: Collection[str]) -> str:
        """What to do where no item has usable content, for all these reasons."""

    @abstractmethod
    def batches(
        self, content: pa.Table, chunks: list[Chunk], raw: Path, prepare: Any, options: LoaderOptions
    ) -> Generator[ContentBatch]:
        """The chunks' contents, chunk after chunk, made ready by an encoder's `prepare`.

        Whoever stops before the end closes the generator, which ends the threads or processes it started.
        """

    @abstractmethod
    def load_encoder(self, choice: EncoderChoice) -> ContentEncoder:
        """The whole encoder that gives vectors; raises UsageError where it is not to be had."""

    @abstractmethod
    def load_inputs(self, choice: EncoderChoice) -> ContentEncoder:
        """A stand-in for the encoder, without its weights, whose "vectors" are the encoder's inputs."""

    @abstractmethod
    def largest(self, choice: EncoderChoice) -> Inputs:
        """Inputs of one blank content of the largest size; they show the shapes inside the encoder."""

    @abstractmethod
    def kept(self, choice: EncoderChoice, module: nn.Module) -> tuple[nn.Module, str | None]:
        """The model to write when a trained encoder is saved, and how.

        The second value is the name of a class of transformers, such as AutoTokenizer, which loads the
        preparation of content: the model is then written as a folder of transformers (for --encoder). With
        None, the weights are written as one file (for --weights).
        """


MODALITIES: dict[str, Modality] = {}  # by name, the default one first; `features/__init__.py` fills it


def register(*modalities: Modality) -> None:
    """Make modalities known to every stage."""
    MODALITIES.update({modality.name: modality for modality in modalities})


def some_of(names: Collection[str]) -> str:
    """Names of modalities, of which one or more may be chosen, in a sentence.

    >>> some_of(["image", "text"]), some_of(["image", "text", "audio"])
    ('image, text or both', 'image, text, audio or several')
    """
    return f"{', '.join(names)} or {'both' if len(names) == 2 else 'several'}"


def refuse_unknown(names: Collection[str]) -> None:
    """Raise ValueError, which settings turn into a UsageError, for a name that is no modality's."""
    for name in names:
        if name not in MODALITIES:
            raise ValueError(f"--modality: {unknown_name('modality', name, list(MODALITIES))}")


def modalities_of(items: Path) -> list[str]:
    """The names of the modalities of which a data set's table of items has any content, texts for example.

    Raises ArtifactError where the table is missing or damaged.
    """
    from ..core.dataset import remake
    from ..core.schema import ITEMS, read_table

    columns = {name: modality.column for name, modality in MODALITIES.items()}
    table = read_table(items, ITEMS, cure=remake(items.parent.name), columns=list(columns.values()))
    return [name for name, column in columns.items() if table[column].null_count < len(table)]
