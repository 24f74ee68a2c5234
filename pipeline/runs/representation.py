"""Alignment and uniformity of a model's item and user vectors, on a small sample, logged in training.

At most SAMPLE items with a train action and SAMPLE users of the validation split are drawn, the same at every
validation of a run. The cost is that of encoding those users once and of 2 * SAMPLE² distances.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ...core.dataset import Float64, Int64, Split
from ...core.float32 import full_float32
from ...evaluation.geometry import alignment, uniformity
from ...model.recommender import SequenceRecommender

SAMPLE = 1_000
DECIMALS = 6  # more would depend on how many threads numpy adds with, and so would a log


def representation_probe(model: object, split: Split, seed: int) -> Callable[[], dict[str, float]]:
    """A function that measures the model at the time of its call; the model must be in eval mode.

    For a model that is no sequence recommender it returns no numbers.

    It gives `uniformity_items_id`, `uniformity_users_id` and so on for every stream of the model, and
    `alignment_items_text`, `alignment_users_text` for each content stream with the ID stream.
    """
    if not isinstance(model, SequenceRecommender):
        return dict
    draw = np.random.default_rng(seed)
    # Drawn once, when training begins, so that the curve of a run shows the same items and users.
    items = _some(draw, np.flatnonzero(~split.cold_items()) + 1)
    users = _some(draw, np.arange(len(split.validation)))
    queries = split.validation.take(users)

    @full_float32()
    def measure() -> dict[str, float]:
        device = model.head.bias.device
        with torch.inference_mode():
            of_items = _arrays(model.item_views(torch.from_numpy(items).to(device)))
            of_users = _arrays(model.user_views(queries))
        return _measured("items", of_items) | _measured("users", of_users)

    return measure


def _some(draw: np.random.Generator, numbers: Int64) -> Int64:
    return np.sort(draw.choice(numbers, min(SAMPLE, len(numbers)), replace=False))


def _arrays(views: dict[str, torch.Tensor]) -> dict[str, Float64]:
    return {name: view.double().cpu().numpy() for name, view in views.items()}


def _measured(of: str, views: dict[str, Float64]) -> dict[str, float]:
    """Alignment of the first view with each other one, and uniformity of each."""
    first, *others = views
    found = {f"alignment_{of}_{name}": alignment(views[first], views[name]) for name in others}
    found |= {f"uniformity_{of}_{name}": uniformity(view) for name, view in views.items()}
    return {name: round(value, DECIMALS) for name, value in found.items()}
