"""Tables that others published on data one can get: the file, the settings, the mask, and their numbers.

S3-Rec's table has HR and NDCG at 5, 10 and 20 of one test item a user among all items. Its code gives items
of the user's history a score of 0; here mask `hard` leaves them out, which is the same wherever the 20 best
scores are above 0. Its SASRec is trained on each user's last window, one negative drawn for each step.
Patience is 20 epochs here and 10 there: our items have a bias, which learns popularity in the first epoch,
and on Toys the following eight epochs gave no better NDCG@10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...evaluation.settings import Mask


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table: what it was measured on and how, and its numbers by metric."""

    file: str
    data_source: str
    where: str
    protocol: str
    model: str
    settings: Mapping[str, Any]
    mask: Mask
    numbers: Mapping[str, float]


_METRICS = ("recall@5", "ndcg@5", "recall@10", "ndcg@10", "recall@20", "ndcg@20")
_S3REC = "github.com/RUCAIBox/CIKM2020-S3Rec, folder data"
_SASREC = {
    "width": 64, "feedforward_width": 256, "heads": 2, "blocks": 2, "length": 50, "dropout": 0.5,
    "input_norm": True, "input_dropout": 0.5, "norm": "post", "head": "tied", "learning_rate": 1e-3,
    "batch_size": 256, "patience": 20, "max_epochs": 200,
}  # fmt: skip
_FILES = {
    "toys": "Toys_and_Games.txt",
    "beauty": "Beauty.txt",
    "sports": "Sports_and_Outdoors.txt",
    "yelp": "Yelp.txt",
    "lastfm": "LastFM.txt",
}
_S3REC_POPREC = {
    "toys": (0.0066, 0.0046, 0.0113, 0.0061, 0.0163, 0.0073),
    "beauty": (0.0080, 0.0044, 0.0152, 0.0068, 0.0217, 0.0084),
    "sports": (0.0056, 0.0041, 0.0094, 0.0053, 0.0192, 0.0078),
    "yelp": (0.0057, 0.0037, 0.0099, 0.0051, 0.0164, 0.0067),
    "lastfm": (0.0275, 0.0151, 0.0440, 0.0203, 0.0615, 0.0248),
}
_S3REC_SASREC = {
    "toys": (0.0463, 0.0306, 0.0675, 0.0374, 0.0941, 0.0441),
    "beauty": (0.0387, 0.0249, 0.0605, 0.0318, 0.0902, 0.0394),
    "sports": (0.0233, 0.0154, 0.0350, 0.0192, 0.0507, 0.0231),
    "yelp": (0.0162, 0.0100, 0.0274, 0.0136, 0.0457, 0.0182),
    "lastfm": (0.0505, 0.0331, 0.0688, 0.0390, 0.0972, 0.0463),
}


def _s3rec(
    model: str, settings: Mapping[str, Any], protocol: str, table: Mapping[str, tuple[float, ...]]
) -> dict[str, PublishedRow]:
    """Entries of one model of S3-Rec's table, one a file."""
    where = "S3-Rec, all_rank.PNG of its repository"
    return {
        f"s3rec-{name}-{model.removesuffix('-id')}": PublishedRow(
            _FILES[name], _S3REC, where, protocol, model, settings, "hard",
            dict(zip(_METRICS, numbers, strict=True)),
        )
        for name, numbers in table.items()
    }  # fmt: skip


PUBLISHED: dict[str, PublishedRow] = {
    **_s3rec(
        "poprec",
        {"count_all": True},
        "popularity over all actions, validation and test included",
        _S3REC_POPREC,
    ),
    **_s3rec(
        "sasrec-id",
        {**_SASREC, "loss": "bce", "train_windows": "last"},
        "one negative, binary cross-entropy",
        _S3REC_SASREC,
    ),
    "recbole-beauty-sasrec": PublishedRow(
        _FILES["beauty"],
        _S3REC,
        "DuoRec, issue 3: RecBole's SASRec",
        "cross-entropy, history not masked",
        "sasrec-id",
        {**_SASREC, "loss": "ce", "train_windows": "all"},
        "none",
        dict(zip(_METRICS, (0.0555, 0.0326, 0.0830, 0.0415, 0.1191, 0.0506), strict=True)),
    ),
}
