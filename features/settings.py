"""What a person chooses about feature extraction; nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from ..core.settings import Settings, Verbatim
from .modality import MODALITIES, EncoderChoice, Pooling, refuse_unknown, some_of

NAMES = some_of(MODALITIES)
DEFAULTS = ", ".join(modality.default_encoder for modality in MODALITIES.values())
FORMER_FLAGS = {"pixels": "image", "tokens": "text"}  # what --inputs was for one modality; they go in 0.3.0


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


class FeatureSettings(Settings):
    """Settings of `tssr extract-features`."""

    dataset: str | None = Field(None, description="Name of the data set. [default: the only one]")
    modality: Annotated[tuple[str, ...], AfterValidator(_each_once)] = Field(
        (), description=f"What to encode: {NAMES}."
    )
    raw: Path | None = Field(
        None, description="Folder with the pictures. [default: where preprocess found them]"
    )
    encoder: tuple[Verbatim, ...] = Field(
        (),
        description="One per modality, in the same order. "
        + "; ".join(f"{modality.name}: {modality.encoders}" for modality in MODALITIES.values())
        + f". [default: {DEFAULTS}]",
    )
    weights: tuple[Verbatim, ...] = Field(
        (),
        description="One per modality: a torchvision weights name (IMAGENET1K_V2), a file with a state dict "
        "(.pth or .safetensors), or 'random' (seeded). [default: the published weights]",
    )
    adapter_weights: tuple[Verbatim, ...] = Field(
        (),
        description="One per modality: the adapter file of a run of tssr train --end-to-end --adapter, put "
        "into the --encoder that it was trained in.",
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
    inputs: bool = Field(
        False,
        description="Store what the encoders read (pixels of pictures, token ids of texts) in place of what "
        "they give: for tssr train --end-to-end, and for training code of your own.",
    )
    pixels: bool = Field(False, description="The former --inputs for pictures alone; goes in 0.3.0.")
    tokens: bool = Field(False, description="The former --inputs for texts alone; goes in 0.3.0.")
    until: tuple[str, ...] = Field(
        (),
        description="One per modality: store what the encoder's stages up to this one give (layer3), or all "
        "but its last N (-2), for tssr train --end-to-end with the rest to train.",
    )
    layers: Literal["all"] | None = Field(
        None,
        description="Store the pooled states behind all blocks of a transformer, for tssr train --end-to-end "
        "--adapter side.",
    )
    prune: bool = Field(False, description="Drop vectors of content that no item has any more.")
    strict: bool = Field(False, description="Stop at the first item without usable content.")

    @model_validator(mode="after")
    def _one_choice_per_modality(self) -> FeatureSettings:
        if not self.modality:
            raise ValueError(f"--modality is missing; choose {NAMES}, as in: --modality image text")
        refuse_unknown(self.modality)
        for flag, modality in FORMER_FLAGS.items():
            if getattr(self, flag) and modality not in self.modality:
                raise ValueError(f"--{flag} is for --modality {modality}; add that or leave the option out")
        if self.until and (self.inputs or self.pixels or self.tokens):
            raise ValueError(
                "--until: what encoders read has not met them yet; leave --until or --inputs out"
            )
        parts = self.until or self.inputs or self.pixels or self.tokens
        if self.adapter_weights and (parts or self.layers):
            raise ValueError(
                "--adapter-weights: they change the encoder's vectors alone; leave --until, --inputs and "
                "--layers out"
            )
        if self.layers and parts:
            raise ValueError("--layers: it is one kind of store, --until and --inputs are others; choose one")
        for name in ("encoder", "weights", "until", "adapter_weights"):
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
                self.encoder[index] if self.encoder else MODALITIES[modality].default_encoder,
                self.weights[index] if self.weights else None,
                self.pooling,
                self.max_tokens,
                self.seed,
                self.inputs
                or any(getattr(self, flag) for flag, of in FORMER_FLAGS.items() if of == modality),
                self.until[index] if self.until else None,
                self.adapter_weights[index] if self.adapter_weights else None,
                self.layers,
            )
            for index, modality in enumerate(self.modality)
        ]


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
