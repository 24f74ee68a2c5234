"""The numbers of the TSSR paper (Cheng et al., arXiv 2403.07623) that ours stand beside.

Columns are the paper's data sets in its order: H&M, Yelp, Phone, Toy, MIND.
"""

from __future__ import annotations

from collections.abc import Mapping

DATASETS = ("hm", "yelp", "phone", "toy", "mind")
TITLES = {"hm": "H&M", "yelp": "Yelp", "phone": "Phone", "toy": "Toy", "mind": "MIND"}

# Table 1 has NDCG@10; it gives SASRec-ID other values than Table 3 does.
TABLE_1 = {
    "sasrec-id": (0.0963, 0.0463, 0.0478, 0.0478, 0.1290),
    "sasrec-content": (0.1035, 0.0491, 0.0513, 0.0503, 0.1345),
    "sasrec-hybrid": (0.1024, 0.0425, 0.0491, 0.0506, 0.1337),
}

TABLE_3_RECALL_10 = {
    "poprec": (0.0105, 0.0112, 0.0076, 0.0048, 0.0220),
    "itemknn": (0.0456, 0.0256, 0.0097, 0.0194, 0.0138),
    "bpr-mf": (0.0180, 0.0459, 0.0206, 0.0243, 0.0151),
    "gru4rec": (0.0605, 0.0661, 0.0459, 0.0421, 0.2004),
    "cl4srec": (0.1249, 0.0668, 0.0590, 0.0635, 0.1931),
    "fdsa": (0.1104, 0.0658, 0.0549, 0.0572, 0.1940),
    "mfn4rec": (0.0877, 0.0655, 0.0524, 0.0520, 0.1883),
    "mv-rnn": (0.0664, 0.0597, 0.0484, 0.0408, 0.1965),
    "mv-trm": (0.1280, 0.0628, 0.0646, 0.0657, 0.2024),
    "sasrec-id": (0.1179, 0.0687, 0.0593, 0.0617, 0.1949),
    "sasrec-content": (0.1292, 0.0697, 0.0632, 0.0654, 0.2041),
    "tssr": (0.1419, 0.0733, 0.0684, 0.0688, 0.2107),
}

TABLE_3_NDCG_10 = {
    "poprec": (0.0052, 0.0059, 0.0036, 0.0025, 0.0099),
    "itemknn": (0.0397, 0.0122, 0.0062, 0.0117, 0.0065),
    "bpr-mf": (0.0130, 0.0237, 0.0136, 0.0146, 0.0070),
    "gru4rec": (0.0416, 0.0346, 0.0318, 0.0288, 0.1100),
    "cl4srec": (0.0991, 0.0367, 0.0416, 0.0464, 0.1059),
    "fdsa": (0.0879, 0.0348, 0.0389, 0.0425, 0.1067),
    "mfn4rec": (0.0603, 0.0345, 0.0350, 0.0360, 0.1040),
    "mv-rnn": (0.0416, 0.0315, 0.0327, 0.0267, 0.1078),
    "mv-trm": (0.0967, 0.0335, 0.0445, 0.0470, 0.1118),
    "sasrec-id": (0.0930, 0.0364, 0.0414, 0.0450, 0.1075),
    "sasrec-content": (0.0978, 0.0366, 0.0428, 0.0466, 0.1123),
    "tssr": (0.1129, 0.0387, 0.0458, 0.0485, 0.1165),
}


def column_of(table: Mapping[str, tuple[float, ...]], dataset: str) -> dict[str, float]:
    """One data set's numbers by model.

    >>> column_of(TABLE_1, "toy")["sasrec-id"]
    0.0478
    """
    return {model: values[DATASETS.index(dataset)] for model, values in table.items()}
