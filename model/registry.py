"""The models by name: the settings and the builder of each; torch is imported when a model is built."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from ..core.errors import UsageError
from ..core.settings import Settings
from ..core.words import unknown_name
from .settings import (
    BlendSettings,
    BPRSettings,
    CL4SRecSettings,
    ContentKNNSettings,
    ContentSettings,
    ESASRecSettings,
    GRU4RecSettings,
    ItemKNNSettings,
    LateTSSRSettings,
    MFN4RecSettings,
    MVRNNSettings,
    OrderKNNSettings,
    PopRecSettings,
    RankIDSettings,
    RankTSSRSettings,
    SASRecContentSettings,
    SASRecSettings,
    TrainSettings,
    TSSRSettings,
    UniSRecSettings,
)

if TYPE_CHECKING:
    from .materials import Materials
    from .recommender import Recommender


@dataclass(frozen=True)
class ModelSpec:
    """One model of the registry; `builder` takes materials and settings; 'module:name' is imported late.

    The defaults of the settings classes are the paper's. A model that is not in the paper and needs others
    has them in `defaults`, which no preset changes. With `content_input` the one input of the model reads
    content, so --head tied scores by it. `same_as` names the model of which this is another name in the
    literature: same builder, same settings. A model of a person's own has the `module` that registered it
    and a hash of its `code`, see `own_models`.
    """

    title: str
    settings: type[Settings]
    builder: str | Callable[..., Any]
    reads_content: bool = False
    content_input: bool = False
    trained: bool = True
    same_as: str | None = None
    module: str = ""
    code: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def build(self, materials: Materials, settings: Settings) -> Recommender:
        """Build the model with its first weights, from torch's random state."""
        builder = self.builder
        if isinstance(builder, str):
            module, name = builder.split(":")
            builder = getattr(importlib.import_module(f".{module}", __package__), name)
        model = builder(materials, settings)
        if self.trained and self.reads_content:
            from .shared_content import share_encoders

            share_encoders(model)
        if from_content(settings):
            from .item_start import start_from_content

            start_from_content(model, materials)
        return cast("Recommender", model)


# Their network has some thousand weights and learns for hours at the paper's rate of 1e-4. These are the
# first values that were tried; all their results in docs/results.md are with them.
RANKERS = {"learning_rate": 2e-3, "batch_size": 128, "validate_every": 100, "patience": 3, "length": 20}

MODELS: dict[str, ModelSpec] = {
    "poprec": ModelSpec("PopRec", PopRecSettings, "poprec:PopRec", trained=False),
    "itemknn": ModelSpec("ItemKNN", ItemKNNSettings, "itemknn:ItemKNN", trained=False),
    "content-knn": ModelSpec(
        "Content-KNN", ContentKNNSettings, "content_knn:ContentKNN", reads_content=True, trained=False
    ),
    "order-knn": ModelSpec("Order-KNN", OrderKNNSettings, "order_knn:OrderKNN", trained=False),
    "bpr-mf": ModelSpec("BPR-MF", BPRSettings, "bpr:BPRMF"),
    "gru4rec": ModelSpec("GRU4Rec", GRU4RecSettings, "gru4rec:gru4rec"),
    "mv-rnn": ModelSpec("MV-RNN", MVRNNSettings, "mvrnn:mv_rnn", reads_content=True, content_input=True),
    "mv-trm": ModelSpec(
        "MV-TRM",
        SASRecContentSettings,
        "mvrnn:mv_trm",
        reads_content=True,
        content_input=True,
        same_as="sasrec-hybrid",
    ),
    "cl4srec": ModelSpec("CL4SRec", CL4SRecSettings, "cl4srec:CL4SRec"),
    "fdsa": ModelSpec("FDSA", ContentSettings, "fdsa:FDSA", reads_content=True),
    "mfn4rec": ModelSpec("MFN4Rec", MFN4RecSettings, "mfn4rec:MFN4Rec", reads_content=True),
    "sasrec-id": ModelSpec("SASRec-ID", SASRecSettings, "sasrec:sasrec_id"),
    "sasrec-content": ModelSpec(
        "SASRec-Content",
        SASRecContentSettings,
        "sasrec:sasrec_content",
        reads_content=True,
        content_input=True,
    ),
    "sasrec-hybrid": ModelSpec(
        "SASRec-Hybrid", SASRecContentSettings, "sasrec:sasrec_hybrid", reads_content=True, content_input=True
    ),
    "esasrec": ModelSpec("eSASRec", ESASRecSettings, "esasrec:ESASRec"),
    "unisrec": ModelSpec(
        "UniSRec", UniSRecSettings, "unisrec:UniSRec", reads_content=True, content_input=True
    ),
    "tssr": ModelSpec("TSSR", TSSRSettings, "tssr:TSSR", reads_content=True),
    "tssr-late": ModelSpec("TSSR-Late", LateTSSRSettings, "late_tssr:LateTSSR", reads_content=True),
    "rank-id": ModelSpec("Rank-ID", RankIDSettings, "rank_tssr:RankTSSR", defaults=RANKERS),
    "tssr-rank": ModelSpec(
        "TSSR-Rank", RankTSSRSettings, "rank_tssr:RankTSSR", reads_content=True, defaults=RANKERS
    ),
}

BLENDED = "blend"  # made by `tssr blend` from finished runs; not one of MODELS, because it is not trained
BLEND = ModelSpec("Blend", BlendSettings, "blend:blend", trained=False)


def own_default(spec: ModelSpec, name: str) -> Any:
    """The default of one setting of training or of the model, as this model trains with it."""
    fields = {**TrainSettings.model_fields, **spec.settings.model_fields}
    return spec.defaults.get(name, fields[name].get_default(call_default_factory=True))


def own_defaults(spec: ModelSpec) -> dict[str, Any]:
    """The defaults of `spec` that differ from those of the other models with the same setting.

    These are the values of `defaults`, and of fields that the settings class declares again over the class
    that it inherits them from: {"head": "tied", "input_norm": True} for unisrec.
    """
    fields = {**TrainSettings.model_fields, **spec.settings.model_fields}
    return {name: own_default(spec, name) for name in fields if own_default(spec, name) != _usual(spec, name)}


def _usual(spec: ModelSpec, name: str) -> Any:
    """The default in the class that brought a setting in."""
    classes = [TrainSettings, *reversed(spec.settings.__mro__)]
    declared = (
        of.model_fields[name] for of in classes if issubclass(of, Settings) and name in of.model_fields
    )
    return next(declared).get_default(call_default_factory=True)


def from_content(settings: Settings) -> bool:
    """Whether --item-start content is set: then even a model that reads no content needs content vectors."""
    return getattr(settings, "item_start", "random") == "content"


def scores_by_content(spec: ModelSpec, settings: Settings) -> bool:
    """Whether the model's head reads content: then each of its items has to be read to be scored."""
    head = getattr(settings, "head", "table")
    return "content" in head or (head == "tied" and spec.content_input)


def model_spec(name: str) -> ModelSpec:
    """Look a model up; raises UsageError that lists the names."""
    if name not in MODELS:
        raise UsageError(f"--model: {unknown_name('model', name, list(MODELS))}")
    return MODELS[name]
