"""Sentences that compare a reproduced table or figure with the claims of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...evaluation.metrics import metric_title
from .experiments import Experiment, point_name
from .paper import TITLES, column_of

_FOCUS = "tssr"


def gain_over(values: Mapping[str, float], model: str, reference: str) -> float | None:
    """How much greater than the reference's, as a share of it; None for the reference itself.

    >>> round(gain_over({"a": 0.2, "b": 0.25}, "b", "a"), 3)
    0.25
    """
    if model == reference or reference not in values or values[reference] == 0:
        return None
    return values[model] / values[reference] - 1


def what_is_best(experiment: Experiment, models: Mapping[str, Mapping[str, Any]], beside: str) -> list[str]:
    """Which contender is best here, and which in the paper; `models` are a comparison's, by name."""
    sentences = []
    for metric in experiment.metrics:
        ours = {name: found["metrics"][metric] for name, found in models.items()}
        if experiment.points:
            sentences += _at_each_point(experiment, metric_title(metric), ours)
            continue
        best = max(ours, key=ours.__getitem__)
        sentence = f"{metric_title(metric)}: best here is {best} ({ours[best]:.4f})"
        if metric in experiment.paper:
            theirs = column_of(experiment.paper[metric], beside)
            their_best = max(theirs, key=theirs.__getitem__)
            sentence += f"; in the paper on {TITLES[beside]} {their_best} ({theirs[their_best]:.4f})"
        sentences.append(sentence)
    return sentences


def _at_each_point(experiment: Experiment, title: str, ours: Mapping[str, float]) -> list[str]:
    """TSSR beside its best rival at each percentage; the paper has it first, and most so at 20 %."""
    sentences = []
    for percentage in sorted({percentage for _, percentage in experiment.points.values()}):
        here = [name for name in ours if experiment.points[name][1] == percentage]
        focus = point_name(_FOCUS, percentage)
        rivals = [name for name in here if name != focus]
        if focus not in here or not rivals:
            continue
        rival = max(rivals, key=ours.__getitem__)
        gain = gain_over(ours, focus, rival)
        words = "" if gain is None else f", {gain:+.1%}"
        told = f"TSSR {ours[focus]:.4f}, its best rival {rival} {ours[rival]:.4f}{words}"
        sentences.append(f"{title} at {percentage} %: {told}")
    return sentences
