"""What a person chooses about feature extraction; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from ..core.settings import Settings, Verbatim

Modality = Literal["image", "text"]
Pooling = Literal["cls", "pooler", "mean", "last"]

DEFAULT_ENCODERS: dict[str, str] = {"image": "resnet50", "text": "bert-base-uncased"}
RANDOM = "random"


@dataclass(frozen=True)
class EncoderChoice:
    """One modality's encoder, as the person asked for it."""

    modality: Modality
    encoder: str
    weights: str | None
    pooling: Pooling | None
    max_tokens: int
    seed: int
    material: bool = False  # not vectors, but the pixels or tokens that an encoder would be given
    until: str | None = None  # not vectors, but what the encoder's lower stages give

    def sources(self) -> dict[str, str]:
        """What may be files on this machine."""
        values = {"encoder": self.encoder, "weights": self.weights}
        return {name: value for name, value in values.items() if value is not None}

    def record(self) -> dict[str, Any]:
        """The plain values that decide which vectors come out, without those this choice does not use."""
        values: dict[str, Any] = {
            "modality": self.modality,
            "encoder": self.encoder,
            "weights": self.weights,
            "pooling": self.pooling,
            "material": self.material,
        }
        if self.until is not None:
            values["until"] = self.until
        if self.modality == "text":
            values["max_tokens"] = self.max_tokens
        if self.weights == RANDOM:
            values["seed"] = self.seed
        return values


class FeatureSettings(Settings):
    """Settings of `tssr extract-features`."""

    dataset: str | None = Field(None, description="Name of the data set. [default: the only one]")
    modality: tuple[Modality, ...] = Field((), description="What to encode: image, text or both.")
    raw: Path | None = Field(
        None, description="Folder with the pictures. [default: where preprocess found them]"
    )
    encoder: tuple[Verbatim, ...] = Field(
        (),
        description="One per modality, in the same order. image: a torchvision classification model, or a "
        "vision model of transformers by hub name or local folder; text: a BERT-family model, by hub name or "
        "local folder. [default: resnet50, bert-base-uncased]",
    )
    weights: tuple[Verbatim, ...] = Field(
        (),
        description="One per modality: a torchvision weights name (IMAGENET1K_V2), a file with a state dict "
        "(.pth or .safetensors), or 'random' (seeded). [default: the published weights]",
    )
    pooling: Pooling | None = Field(
        None,
        description="How token vectors become one: the first token's, BERT's pooler, their mean, or the last "
        "token's. [default: the model's own, else cls, or mean for a model that reads from left to right]",
    )
    max_tokens: int = Field(30, ge=2, description="Longest text in tokens, special tokens included.")
    dtype: Literal["float16", "float32"] = Field("float16", description="Number format of the store.")
    batch_size: int = Field(64, ge=1, description="Pictures encoded at once; for texts, times --max-tokens.")
    workers: int | None = Field(
        None,
        ge=0,
        description="Processes that decode pictures beside the encoder; 0: threads decode in turn with it. "
        "[default: one a core, at most 16, beside a GPU, else 0]",
    )
    seed: int = Field(0, ge=0, description="Seed of --weights random.")
    compile: bool = Field(
        False, description="Compile the encoder (needs a C++ compiler); pays for thousands of items."
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    pixels: bool = Field(
        False,
        description="Store the pictures' pixels as --encoder wants them, for training code of your own; "
        "tssr train reads vectors alone.",
    )
    tokens: bool = Field(
        False,
        description="Store the texts' token ids as --encoder wants them, for training code of your own; "
        "tssr train reads vectors alone.",
    )
    until: tuple[str, ...] = Field(
        (),
        description="One per modality: store what the encoder's stages up to this one give (layer3), or all "
        "but its last N (-2), for tssr train --end-to-end with the rest to train.",
    )
    prune: bool = Field(False, description="Drop vectors of content that no item has any more.")
    strict: bool = Field(False, description="Stop at the first item without usable content.")

    @model_validator(mode="after")
    def _one_choice_per_modality(self) -> FeatureSettings:
        if not self.modality:
            raise ValueError(
                "--modality is missing; choose image, text or both, as in: --modality image text"
            )
        for flag, modality in (("pixels", "image"), ("tokens", "text")):
            if getattr(self, flag) and modality not in self.modality:
                raise ValueError(f"--{flag} is for --modality {modality}; add that or leave the option out")
        if self.until and (self.pixels or self.tokens):
            raise ValueError(
                "--until: pixels and tokens have not met the encoder; leave one of the options out"
            )
        for name in ("encoder", "weights", "until"):
            given = len(getattr(self, name))
            if given not in (0, len(self.modality)):
                raise ValueError(
                    f"--{name}: {given} given for {len(self.modality)} modalities; "
                    f"give one for each --modality, in the same order"
                )
        return self

    def choices(self) -> list[EncoderChoice]:
        """One encoder choice for each modality."""
        return [
            EncoderChoice(
                modality,
                self.encoder[index] if self.encoder else DEFAULT_ENCODERS[modality],
                self.weights[index] if self.weights else None,
                self.pooling,
                self.max_tokens,
                self.seed,
                self.pixels if modality == "image" else self.tokens,
                self.until[index] if self.until else None,
            )
            for index, modality in enumerate(self.modality)
        ]


def names_folder(encoder: str) -> bool:
    """Whether a picture encoder's name means transformers; torchvision's names have no folder."""
    return "/" in encoder or Path(encoder).is_dir()


class ImportSettings(Settings):
    """Settings of `tssr features import`."""

    model_config = ConfigDict(title="Import")

    dataset: str | None = Field(None, description="Name of the data set. [default: the only one]")
    modality: str = Field(
        "image",
        pattern=r"^[A-Za-z0-9]+$",
        description="What the vectors are of: image, text, or a name of your own, as audio.",
    )
    vectors: Path | None = Field(None, description="File with the vectors: .npy, .npz, .parquet or .csv.")
    key: str | None = Field(
        None,
        description="Array of an .npz, or column of a table that holds lists. [default: the only one; in a "
        "table all columns but the ids]",
    )
    ids: str | None = Field(
        None,
        description="Where the items' ids are: an array of the .npz, a column of the table, or a file with "
        "one id a line. [default: item_id; a .npy without ids is in the order of the data set's table]",
    )
