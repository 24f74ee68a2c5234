"""Settings of `tssr train --end-to-end`; nothing here imports torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from ...core.settings import Settings
from ...features.modality import ALL, LAYERS, MODALITIES, AdapterKind, EncoderChoice, Pooling
from ...features.settings import DEFAULTS

DEFAULT_DIMS: dict[AdapterKind, int] = {"lora": 8, "houlsby": 64, "side": 64}  # as mostly in the papers
CHUNK, SIDE_CHUNK = 64, 1024  # a side network takes little memory, and many small products take long

KEPT_CHUNKS = 8  # of texts, where the lower part of the encoder is frozen


class EndToEndSettings(Settings):
    """Which encoders are trained with the model, which part of them, and how."""

    model_config = ConfigDict(title="Training the content encoder along")

    # Settings that decide neither the encoder nor the store it reads, so that values can be tried one after
    # another within one plan.
    TRIABLE: ClassVar[tuple[str, ...]] = (
        "encoder_lr",
        "encoder_weight_decay",
        "train_batchnorm",
        "adapter_dim",
        "refresh_items",
    )

    end_to_end: bool = Field(
        False,
        description=f"Train the encoders of --features ({', '.join(MODALITIES)}) too, as the paper does.",
    )
    encoder: tuple[str, ...] = Field(
        (),
        description=f"One per modality, as in tssr extract-features. [default: {DEFAULTS}]",
    )
    weights: tuple[str, ...] = Field(
        (), description="One per modality, as in tssr extract-features. [default: the published weights]"
    )
    pooling: Pooling | None = Field(
        None, description="How token vectors become one. [default: the model's own]"
    )
    max_tokens: int = Field(30, ge=2, description="Longest text in tokens, special tokens included.")
    unfreeze: tuple[str, ...] = Field(
        (ALL,),
        min_length=1,
        description="Part of the encoder that is trained: all, last:N (its last N stages or blocks), or a "
        "stage such as layer4 with all after it; one value, or one per modality. The outputs of the frozen "
        "part are computed once.",
    )
    adapter: AdapterKind | None = Field(
        None,
        description="Train adapters, a few weights added inside that part, and keep its own weights frozen: "
        "lora (low-rank updates, for transformers and convolutional networks), houlsby (bottlenecks, for "
        "transformers). Or side: a small network that reads the stored states of a frozen transformer.",
    )
    adapter_dim: int | None = Field(
        None, ge=1, description="Rank of lora, width of the bottlenecks of houlsby and side. [default: 8; 64]"
    )
    encoder_lr: float | None = Field(
        None, gt=0, description="The encoder's learning rate. [default: --learning-rate]"
    )
    encoder_weight_decay: float = Field(
        0.0, ge=0, description="Decoupled weight decay of the encoder's matrices."
    )
    encoder_chunk: int | None = Field(
        None,
        ge=1,
        description="Contents encoded at once: decides memory; results change only through dropout's draws. "
        f"[default: {CHUNK}; {SIDE_CHUNK} for side]",
    )
    refresh_items: Literal["step", "epoch"] = Field(
        "step",
        description="For a head that scores by content (--head content, table+content, or tied where the "
        "input reads content). step: the items that a step scores are encoded in it, which needs a loss "
        "over drawn items such as --softmax-sample. epoch: all items are encoded at the beginning of each "
        "epoch, and the head reads this table; the encoder learns from the windows alone.",
    )
    train_batchnorm: bool = Field(
        False, description="Train batch normalisation too; without it, it keeps its pretrained statistics."
    )
    start_from: str | None = Field(
        None, description="A run with frozen features; the model starts from its weights."
    )

    @model_validator(mode="after")
    def _options_go_together(self) -> EndToEndSettings:
        if self.adapter_dim is not None and self.adapter is None:
            raise ValueError("--adapter-dim: it is for --adapter; add that or leave the option out")
        if self.adapter == "side" and self.unfreeze != (ALL,):
            raise ValueError(
                "--unfreeze: with --adapter side nothing of the encoder trains; leave one of the options out"
            )
        if self.train_batchnorm and self.adapter is not None:
            raise ValueError(
                "--train-batchnorm: with --adapter the encoder's own weights stay as they are, all of them; "
                "leave one of the options out"
            )
        if self.train_batchnorm and self.encoder_chunk == 1:
            raise ValueError(
                "--encoder-chunk 1: --train-batchnorm normalises by the spread within a chunk, and one "
                "content has none; choose 2 or more, better 16"
            )
        return self

    def resolved_adapter_dim(self) -> int:
        """`adapter_dim`, or where it is not given the default of the kind of adapter."""
        assert self.adapter is not None
        return self.adapter_dim or DEFAULT_DIMS[self.adapter]

    def chunk(self) -> int:
        """What `encoder_chunk` is where it is not given."""
        return self.encoder_chunk or (SIDE_CHUNK if self.adapter == "side" else CHUNK)

    def kept_chunks(self, index: int, modality: str) -> int:
        """How many chunks of a step keep their activations through the loss, which spares their second pass.

        The upper blocks of an encoder take little memory for a text. Example: on Toys' titles, batch 128,
        with two of MiniLM's six blocks, eight chunks take 200 MB more than one, and a step a sixth less time.
        """
        upper_part = self.reads(index) not in (ALL, LAYERS)
        return KEPT_CHUNKS if upper_part and MODALITIES[modality].sequences else 1

    def reads(self, index: int) -> str:
        """Which inputs the trained part of the encoder of modality `index` reads.

        ALL: the inputs of the whole encoder; LAYERS: the states of all blocks; any other value of
        `--unfreeze`: the outputs of the stages below it.
        """
        return LAYERS if self.adapter == "side" else self.unfrozen(index)

    def choices(self, modalities: tuple[str, ...], seed: int) -> list[EncoderChoice]:
        """One encoder choice for each modality, whole encoders."""
        return [
            EncoderChoice(
                modality,
                self.encoder[index] if self.encoder else MODALITIES[modality].default_encoder,
                self.weights[index] if self.weights else None,
                self.pooling,
                self.max_tokens,
                seed,
            )
            for index, modality in enumerate(modalities)
        ]

    def unfrozen(self, index: int) -> str:
        """The value of --unfreeze for modality `index`."""
        return self.unfreeze[index if len(self.unfreeze) > 1 else 0]
