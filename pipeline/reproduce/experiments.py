"""What each table and figure of the paper trains: models, variants, and the metrics it shows.

Every experiment is a comparison with the runs that `tssr compare` would train, so finished runs are not
trained again and killed ones are resumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .paper import TABLE_1, TABLE_3_NDCG_10, TABLE_3_RECALL_10

QUICK = {"max_epochs": 2, "width": 16, "heads": 1}


@dataclass(frozen=True)
class Experiment:
    """Contenders by name in the table's order, and what is shown of them.

    `variants` are settings of those names that are no models. `paper` has the paper's columns by metric, each
    with a value for every data set. Gains are over `reference`. `geometry` asks for alignment and uniformity.
    `points` are for a figure of lines: the model and the percentage of train users behind each name; gains
    are then over the reference's model at the same percentage.
    """

    title: str
    models: tuple[str, ...]
    metrics: tuple[str, ...]
    reference: str
    focus: str | None = None
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    paper: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)
    points: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    geometry: bool = False
    one_seed: bool = False

    def reference_of(self, name: str) -> str:
        """The contender over which this one's gain is shown."""
        if not self.points:
            return self.reference
        return point_name(self.points[self.reference][0], self.points[name][1])


def point_name(model: str, percentage: int) -> str:
    """The contender that is a model trained on so many per cent of the train users.

    >>> point_name("tssr", 20)
    'tssr-20'
    """
    return f"{model}-{percentage}"


_ALIGNED = {"model": "tssr"}
_UNALIGNED = {"model": "tssr", "lambda_user": 0.0, "lambda_item": 0.0}
_BATCHES = (32, 64, 128, 256, 512, 1024)
_PERCENTAGES = (20, 50, 80, 100)
_RIVALS = ("sasrec-id", "cl4srec", "sasrec-content", "mv-trm", "tssr")  # the best of Table 3 on Toy
_POINTS = {
    point_name(model, percentage): (model, percentage) for model in _RIVALS for percentage in _PERCENTAGES
}

EXPERIMENTS: dict[str, Experiment] = {
    "table1": Experiment(
        "Table 1: ids, content, and both",
        tuple(TABLE_1),
        ("ndcg@10",),
        "sasrec-id",
        paper={"ndcg@10": TABLE_1},
    ),
    "table3": Experiment(
        "Table 3: all models",
        tuple(TABLE_3_NDCG_10),
        ("recall@10", "ndcg@10"),
        "sasrec-id",
        focus="tssr",
        paper={"recall@10": TABLE_3_RECALL_10, "ndcg@10": TABLE_3_NDCG_10},
    ),
    "figure3": Experiment(
        "Figure 3: TSSR without each contrast",
        ("without-both", "without-user", "without-item", "full"),
        ("recall@20", "ndcg@20"),
        "without-both",
        variants={
            "without-both": _UNALIGNED,
            "without-user": {"model": "tssr", "lambda_user": 0.0},
            "without-item": {"model": "tssr", "lambda_item": 0.0},
            "full": _ALIGNED,
        },
        geometry=True,
    ),
    "figure5": Experiment(
        "Figure 5: batch size",
        tuple(f"batch-{size}" for size in _BATCHES),
        ("recall@20", "ndcg@20"),
        "batch-32",
        variants={f"batch-{size}": {"model": "tssr", "batch_size": size} for size in _BATCHES},
        geometry=True,
    ),
    "figure6": Experiment(
        "Figure 6: share of the train users",
        tuple(_POINTS),
        ("recall@20", "ndcg@20"),
        point_name("sasrec-id", 100),
        variants={
            name: {"model": model, "train_users_share": percentage / 100}
            for name, (model, percentage) in _POINTS.items()
        },
        points=_POINTS,
    ),
    "figure1": Experiment(
        "Figure 1: items by ids and by content, t-SNE",
        ("sasrec-id", "sasrec-content"),
        ("ndcg@10",),
        "sasrec-id",
        one_seed=True,
    ),
    "figure4": Experiment(
        "Figure 4: ids and content of the same items without and with the contrasts, t-SNE",
        ("unaligned", "aligned"),
        ("ndcg@10",),
        "unaligned",
        variants={"unaligned": _UNALIGNED, "aligned": _ALIGNED},
        geometry=True,
        one_seed=True,
    ),
}
