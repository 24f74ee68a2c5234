"""Settings of the models and of their training; the defaults are the paper's.

Each family of models has a class of its own, so that `tssr train --model sasrec-id --lambda-user 0` is an
error: SASRec has no such setting. Nothing here imports torch, because every command builds its options from
these classes and should answer --help at once.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from ..core.settings import Settings, option_name


class TrainSettings(Settings):
    """How any model is trained; a model with other defaults than these has them in the registry."""

    model_config = ConfigDict(title="Training of all models")

    learning_rate: float = Field(1e-4, gt=0, description="Adam's learning rate.")
    batch_size: int = Field(
        256, ge=1, description="Windows per optimizer step; their users are contrasted with each other."
    )
    max_epochs: int = Field(1000, ge=1, description="Stop after this many epochs at the latest.")
    patience: int = Field(10, ge=1, description="Stop after this many validations without a better NDCG@10.")
    validate_every: int = Field(
        50, ge=1, description="Validate at the end of an epoch, once at least this many steps have passed."
    )
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="Constant learning rate, or cosine decay to 0 over --max-epochs."
    )
    warmup_steps: int = Field(0, ge=0, description="Steps of linear learning-rate warm-up.")
    clip_norm: float = Field(
        0.0, ge=0, description="Clip the gradient's global norm to this value; 0 turns clipping off."
    )
    train_windows: Literal["last", "all"] = Field(
        "last",
        description="last: train on each user's newest window. all: cut the whole history into windows, so "
        "that every action is a target once.",
    )
    train_users_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description=(
            "Train on the actions of this share of the users, the same ones for every model and seed; all "
            "users are asked in validation and test."
        ),
    )
    seed: int = Field(1, ge=0, lt=2**31, description="The one seed of initial weights, order and dropout.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description=(
            "Precision of the matrix products in training. auto: bfloat16 where the GPU or processor has it, "
            "else float32. Weights, losses and validation stay float32 (on a GPU but for layers of a GRU, "
            "cuDNN's TF32, and the vectors of a trained encoder, bfloat16)."
        ),
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    compile: bool = Field(False, description="Compile the encoders (torch.compile).")
    tensorboard: bool = Field(
        False, description="Write the log for TensorBoard too, into the run's folder (extra tssr[tracking])."
    )

    # Settings that change a result by rounding at most: runs that differ only in these count as the same run.
    WHERE_AND_HOW: ClassVar[tuple[str, ...]] = ("device", "compile", "tensorboard")


class PopRecSettings(Settings):
    """PopRec has one switch."""

    model_config = ConfigDict(title="PopRec")

    count_all: bool = Field(
        False,
        description="Count validation and test actions too; it leaks, use it only to check published tables.",
    )


class ItemKNNSettings(Settings):
    """Which items count as similar."""

    model_config = ConfigDict(title="ItemKNN")

    neighbours: int = Field(100, ge=0, description="Most similar items kept for each item; 0 keeps all.")
    shrink: float = Field(
        10.0, ge=0, description="Added to the cosine's denominator, so that chance meetings count less."
    )


class LengthSettings(Settings):
    """A model that reads the newest L actions of a history only."""

    model_config = ConfigDict(title="Sequence models")

    length: int | None = Field(
        None, ge=1, description="L, the actions a model looks back on. [default: the data set's, 10 or 20]"
    )


class OrderKNNSettings(LengthSettings):
    """How Order-KNN weighs the actions of a history."""

    model_config = ConfigDict(title="Order-KNN")

    decay: float = Field(
        0.6,
        ge=0,
        le=1,
        description="Weight of an action relative to the one after it. With 0.5 the newest three weigh 1, "
        "0.5 and 0.25; 0 uses the newest action only, 1 weighs all L equally.",
    )


class BlendSettings(Settings):
    """Whether a model's weight in a blend may differ by item and by user."""

    model_config = ConfigDict(title="Blends")

    by_popularity: bool = Field(
        False,
        description=(
            "Let weights differ between items with 0, 1 to 4, 5 to 19, and 20 or more train "
            "actions, if that improves validation."
        ),
    )
    by_history: bool = Field(
        False,
        description="Let weights differ between users with short, medium and long histories (thirds of the "
        "users), if that improves validation.",
    )


class EmbeddingSettings(Settings):
    """What every model with learned vectors has."""

    model_config = ConfigDict(title="All learned models")

    width: int = Field(128, ge=1, description="D, the width of embeddings and states.")
    item_start: Literal["random", "content"] = Field(
        "random",
        description=(
            "Initial values of the learned item vectors that a model reads (BPR-MF: its only ones): random, "
            "or the principal components of the items' content (also for a model that reads no content; see "
            "--features)."
        ),
    )


class BPRSettings(EmbeddingSettings):
    """Matrix factorisation."""

    model_config = ConfigDict(title="BPR-MF")

    l2: float = Field(0.0, ge=0, description="Weight of the squared lengths of the vectors in a batch.")


class ScaleSettings(Settings):
    """How content vectors are scaled before a model reads them."""

    model_config = ConfigDict(title="Models that read content")

    content_scale: Literal["raw", "standard", "whiten"] = Field(
        "raw",
        description=(
            "raw: content vectors as the encoder gave them. standard: each dimension with mean 0 and "
            "deviation 1 over train items. whiten: their principal components, each with deviation 1."
        ),
    )
    whiten_rank: int = Field(
        0,
        ge=0,
        description=(
            "Number of principal components that whitening keeps, those of largest variance; 0 keeps all. "
            "Components without variance over the train items are never kept."
        ),
    )

    @model_validator(mode="after")
    def a_rank_is_of_whitening(self) -> Self:
        """Refuse a rank where nothing is whitened."""
        if self.whiten_rank and self.content_scale != "whiten":
            raise ValueError("--whiten-rank is for --content-scale whiten; give that too")
        return self


class ReadingSettings(ScaleSettings):
    """How a trained model reads item content."""

    missing: Literal["mean", "zero"] = Field(
        "mean",
        description="What stands for the vector of an item without content: the train items' mean, or 0.",
    )


class ContentKNNSettings(LengthSettings, ScaleSettings):
    """How Content-KNN weighs the actions of a history, and whether it may recommend the newest item."""

    model_config = ConfigDict(title="Content-KNN")

    decay: float | None = Field(
        None,
        ge=0,
        le=1,
        description=(
            "Weight of an action relative to the one after it: 0 uses the newest action only, 1 weighs all L "
            "equally. [default: chosen on validation from 0, .2 … 1]"
        ),
    )
    last_item: Literal["auto", "left-out", "kept"] = Field(
        "auto",
        description="Whether the newest item of a history may be recommended (kept) or not (left-out); auto: "
        "chosen on validation.",
    )


class RankIDSettings(LengthSettings):
    """Which candidates are ranked, and the network that ranks them."""

    model_config = ConfigDict(title="Rank-ID and TSSR-Rank")

    candidates: int = Field(100, ge=1, description="Items that each kind of neighbour proposes.")
    width: int = Field(64, ge=1, description="Width of the network's two hidden layers.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout after each hidden layer.")


class RankTSSRSettings(RankIDSettings, ScaleSettings):
    """The same settings, and the scaling of the content among the features of a candidate."""

    model_config = ConfigDict(title="TSSR-Rank")

    cold_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "Share of items treated as cold in training, drawn anew for every 32 users; with it the model "
            "learns to judge an item by content alone (for --cold-items)."
        ),
    )


class WindowSettings(LengthSettings, EmbeddingSettings):
    """A trained model that reads a window of actions."""

    model_config = ConfigDict(title="Sequence models")

    dropout: float = Field(
        0.1, ge=0, lt=1, description="Dropout on attention weights and sublayer outputs, or on GRU inputs."
    )
    head: Literal["table", "tied", "content", "table+content"] = Field(
        "table",
        description=(
            "Item vectors on the output side. table: a learned table of its own; tied: the learned vectors "
            "of the input; content: projected content vectors; table+content: the sum of both."
        ),
    )
    softmax_sample: int = Field(
        0,
        ge=0,
        description=(
            "Number of items drawn for a sampled softmax with logQ correction, in place of the softmax over "
            "all items; for catalogues beyond a million. 0: over all items."
        ),
    )
    softmax_sample_by: Literal["popularity", "uniform"] = Field(
        "popularity",
        description="--softmax-sample draws items in proportion to their train actions + 1, or uniformly.",
    )

    @model_validator(mode="after")
    def a_sample_is_drawn(self) -> Self:
        """Refuse another --softmax-sample-by than the model's own where no sample is drawn."""
        usual = type(self).model_fields["softmax_sample_by"].default
        if self.softmax_sample_by != usual and not self.softmax_sample:
            raise ValueError("--softmax-sample-by says how --softmax-sample draws; give that too")
        return self

    @model_validator(mode="after")
    def content_is_read(self) -> Self:
        """Refuse a head of content for a model that has none."""
        if "content" in self.head and not isinstance(self, ReadingSettings):
            raise ValueError(f"--head {self.head} is for models that read content; use table or tied")
        return self


class RecurrentSettings(WindowSettings):
    """A GRU."""

    model_config = ConfigDict(title="Recurrent models")

    layers: int = Field(1, ge=1, description="GRU layers.")


class SequenceSettings(WindowSettings):
    """The transformer that SASRec and TSSR share."""

    model_config = ConfigDict(title="Transformers")

    heads: int = Field(4, ge=1, description="Attention heads; they share the width.")
    blocks: int = Field(2, ge=1, description="Transformer blocks of each unimodal encoder.")
    feedforward_width: int = Field(256, ge=1, description="Width inside the feed-forward layers.")
    norm: Literal["rezero", "post", "pre"] = Field(
        "rezero",
        description="rezero: LayerNorm after each residual, whose branch has a learned factor that starts "
        "near 0. post: LayerNorm after each residual. pre: LayerNorm before each branch.",
    )
    input_norm: bool = Field(False, description="LayerNorm on each step's item vector plus position.")
    input_dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout on each step's item vector plus position, after the norm."
    )

    @model_validator(mode="after")
    def heads_share_the_width(self) -> Self:
        """Refuse a width that the heads cannot share."""
        if self.width % self.heads:
            raise ValueError(f"--width {self.width} is not a multiple of --heads {self.heads}")
        return self


class LossSettings(Settings):
    """The loss of the next item, for models that leave it to the user."""

    model_config = ConfigDict(title="SASRec and GRU4Rec")

    loss: Literal["ce", "bce", "gbce", "bpr-max"] = Field(
        "ce",
        description=(
            "Cross-entropy over all items, binary cross-entropy against drawn negatives (the original "
            "SASRec), its calibrated form gBCE (gSASRec), or BPR-max (GRU4Rec)."
        ),
    )
    drawn_negatives: int = Field(1, ge=1, description="Negatives drawn for each step by all losses but ce.")
    gbce_calibration: float = Field(
        0.75,
        ge=0,
        le=1,
        description="gBCE's t: 0 is plain bce; 1 fully corrects the overconfidence due to drawn negatives.",
    )
    bpr_max_l2: float = Field(0.0, ge=0, description="Weight of the drawn items' squared scores in bpr-max.")

    @model_validator(mode="after")
    def settings_of_the_loss(self) -> Self:
        """Refuse a setting of another loss than the chosen one, which would do nothing."""
        theirs = {
            "drawn_negatives": ("bce", "gbce", "bpr-max"),
            "gbce_calibration": ("gbce",),
            "bpr_max_l2": ("bpr-max",),
        }
        for name, losses in theirs.items():
            if self.loss not in losses and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{option_name(name)} is for --loss {' or '.join(losses)}, not {self.loss}")
        return self

    @model_validator(mode="after")
    def one_way_to_draw(self) -> Self:
        """Refuse a sampled softmax for a loss that has no softmax."""
        if self.loss != "ce" and getattr(self, "softmax_sample", False):
            raise ValueError(f"--softmax-sample is for --loss ce; {self.loss} has --drawn-negatives")
        return self


class SASRecSettings(SequenceSettings, LossSettings):
    """SASRec over learned vectors."""


class ESASRecSettings(SequenceSettings):
    """eSASRec over learned vectors, with the recipe's own defaults."""

    model_config = ConfigDict(title="eSASRec")

    head: Literal["table", "tied"] = Field(
        "tied", description="Item vectors on the output side: those of the input, or a table of its own."
    )
    norm: Literal["pre"] = Field("pre", description="LiGR blocks have LayerNorm before each branch.")
    feedforward_width: int = Field(512, ge=1, description="Width inside the feed-forward layers.")
    softmax_sample: int = Field(
        256,
        ge=0,
        description="Number of items drawn for a sampled softmax with logQ correction; 0: over all items.",
    )
    softmax_sample_by: Literal["popularity", "uniform"] = Field(
        "uniform",
        description="--softmax-sample draws items in proportion to their train actions + 1, or uniformly.",
    )


class CL4SRecSettings(SASRecSettings):
    """SASRec with a contrast of two altered views of each window."""

    model_config = ConfigDict(title="CL4SRec")

    crop_share: float = Field(0.6, gt=0, le=1, description="Share of the window that a crop keeps.")
    mask_share: float = Field(0.3, ge=0, le=1, description="Share of the window that is masked.")
    reorder_share: float = Field(0.6, ge=0, le=1, description="Share of the window that is shuffled.")
    lambda_view: float = Field(0.1, ge=0, description="Weight of the contrast of views; 0 leaves it out.")
    tau_view: float = Field(1.0, gt=0, description="Temperature of the contrast of views (inner product).")


class ContentSettings(SequenceSettings, ReadingSettings):
    """A transformer that also reads item content."""


class SASRecContentSettings(ContentSettings, LossSettings):
    """SASRec over content."""


class UniSRecSettings(ContentSettings):
    """UniSRec over learned vectors and adapted content."""

    model_config = ConfigDict(title="UniSRec")

    experts: int = Field(8, ge=1, description="Experts of each content type's adaptor.")
    adaptor_dropout: float = Field(
        0.2, ge=0, lt=1, description="Dropout on the content that an expert reads."
    )
    temperature: float = Field(
        0.07, gt=0, description="Temperature: scores are cosines of states and items divided by it."
    )
    head: Literal["tied"] = Field("tied", description="Items are scored by the vectors of the input.")
    input_norm: bool = Field(True, description="LayerNorm on each step's item vector plus position.")


class RecurrentContentSettings(RecurrentSettings, ReadingSettings):
    """A GRU that also reads item content."""


class GRU4RecSettings(RecurrentSettings, LossSettings):
    """GRU4Rec over learned vectors."""


class MVRNNSettings(RecurrentContentSettings, LossSettings):
    """GRU4Rec over learned vectors and content."""


class MFN4RecSettings(RecurrentContentSettings):
    """GRUs joined by a gated memory."""

    model_config = ConfigDict(title="MFN4Rec")

    memory_width: int = Field(128, ge=1, description="Width inside the networks that steer the memory.")


class TSSRSettings(ContentSettings):
    """TSSR: two streams, hierarchical contrast, cross-attention and a gate."""

    model_config = ConfigDict(title="TSSR")

    cross_blocks: int = Field(
        1, ge=0, description="Cross-attention blocks of each stream; 0 leaves them out."
    )
    lambda_user: float = Field(
        1.0, ge=0, description="Weight of the user-grained contrast (Eq. 1); 0 leaves it out."
    )
    lambda_item: float = Field(
        1.0, ge=0, description="Weight of the item-grained contrast (Eq. 2); 0 leaves it out."
    )
    lambda_ce: float = Field(1.0, gt=0, description="Weight of the next-item cross-entropy.")
    lambda_stream: float = Field(
        0.0,
        ge=0,
        description="Beyond the paper: weight of each stream's own next-item cross-entropy; 0 leaves it out.",
    )
    tau_user: float = Field(0.2, gt=0, description="Temperature of the user-grained contrast (cosine).")
    tau_item: float = Field(
        1.0, gt=0, description="Temperature of the item-grained contrast (inner product)."
    )
    user_mean: Literal["real", "all"] = Field(
        "real",
        description=(
            "In the user-grained contrast a user is the mean state over the real steps or, as in the "
            "released code, over all L steps including padding (all)."
        ),
    )
    negatives: Literal["same-step", "all-steps"] = Field(
        "same-step",
        description=(
            "Negatives of the item-grained contrast: other users' items at the same step, or all other items "
            "of the batch, including the user's own."
        ),
    )
    mask_duplicates: bool = Field(
        False, description="Do not count the target item as a negative where another user has it too."
    )
    fusion: Literal["gate", "sum", "concat"] = Field(
        "gate", description="How the streams are merged (Eq. 3: gate)."
    )
    separate_positions: bool = Field(
        False, description="A position table for each stream instead of one for all."
    )
    shared_encoder: bool = Field(
        False, description="One unimodal encoder for all streams instead of one each."
    )


class LateTSSRSettings(SASRecContentSettings, OrderKNNSettings):
    """TSSR-Late: the settings of its two SASRecs, and of the weights of actions in its neighbours."""

    model_config = ConfigDict(title="TSSR-Late")


# Settings of a term of the loss that do nothing where the term's weight is 0.
_OF_A_TERM: dict[str, tuple[str, ...]] = {
    "lambda_user": ("tau_user", "user_mean"),
    "lambda_item": ("tau_item", "negatives", "mask_duplicates"),
    "lambda_view": ("tau_view", "crop_share", "mask_share", "reorder_share"),
}


def without_effect(settings: Settings) -> list[str]:
    """A sentence for each setting that has no effect, such as the temperature of a contrast of weight 0.

    Such a setting is not refused, because a search or a preset may set a weight to 0 and leave the rest.
    """
    changed = settings.changed()
    return [
        f"{option_name(name)} has no effect: {option_name(weight)} 0 leaves its term of the loss out"
        for weight, names in _OF_A_TERM.items()
        if getattr(settings, weight, None) == 0
        for name in names
        if name in changed
    ]
