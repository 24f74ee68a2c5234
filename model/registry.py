"""The models by name: their settings, and how each is built; torch is imported when one is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.errors import UsageError
from .settings import ContentSettings, PopRecSettings, SequenceSettings, TSSRSettings

if TYPE_CHECKING:
    from torch import Tensor

    from .inputs import ContentFeatures
    from .recommender import Recommender


@dataclass(frozen=True)
class Materials:
    """What a model may be built from: sizes, content, and how often each item was taken in training."""

    item_count: int
    length: int
    contents: list[ContentFeatures]
    train_counts: Tensor  # (N + 1,), entry 0 is the padding's 0


Builder = Callable[[Materials, Any], "Recommender"]


@dataclass(frozen=True)
class ModelSpec:
    """One model of the registry."""

    settings: type[Any]
    build: Builder
    title: str
    reads_content: bool = False
    trained: bool = True


def _poprec(materials: Materials, settings: PopRecSettings) -> Recommender:
    from .poprec import PopRec

    return PopRec(materials.train_counts[1:], settings)


def _sasrec_id(materials: Materials, settings: SequenceSettings) -> Recommender:
    from .sasrec import sasrec_id

    return sasrec_id(materials.item_count, materials.length, settings)


def _sasrec_content(materials: Materials, settings: ContentSettings) -> Recommender:
    from .sasrec import sasrec_content

    m = materials
    return sasrec_content(m.item_count, m.length, settings, m.contents, m.train_counts)


def _sasrec_hybrid(materials: Materials, settings: ContentSettings) -> Recommender:
    from .sasrec import sasrec_hybrid

    m = materials
    return sasrec_hybrid(m.item_count, m.length, settings, m.contents, m.train_counts)


def _tssr(materials: Materials, settings: TSSRSettings) -> Recommender:
    from .tssr import TSSR

    m = materials
    return TSSR(m.item_count, m.length, settings, m.contents, m.train_counts)


MODELS: dict[str, ModelSpec] = {
    "poprec": ModelSpec(PopRecSettings, _poprec, "PopRec", trained=False),
    "sasrec-id": ModelSpec(SequenceSettings, _sasrec_id, "SASRec-ID"),
    "sasrec-content": ModelSpec(ContentSettings, _sasrec_content, "SASRec-Content", reads_content=True),
    "sasrec-hybrid": ModelSpec(ContentSettings, _sasrec_hybrid, "SASRec-Hybrid", reads_content=True),
    "tssr": ModelSpec(TSSRSettings, _tssr, "TSSR", reads_content=True),
}


def model_spec(name: str) -> ModelSpec:
    """Look a model up; raises UsageError that lists the names."""
    if name not in MODELS:
        raise UsageError(f"--model {name}: there are {', '.join(MODELS)}")
    return MODELS[name]
