"""`tssr train --model tssr-late`: weights are chosen after training, kept in the run, and read again."""

from __future__ import annotations

import pytest

OPTIONS = ("--width", "8", "--heads", "2", "--batch-size", "16", "--max-epochs", "1", "--run", "late")
PARTS = {"ids", "content", "content neighbours", "order neighbours"}


@pytest.fixture
def prepared(tssr, shop):
    """A data set with vectors of its pictures."""
    tssr("preprocess", "hm", "--raw", shop)
    encoder = ("--encoder", "squeezenet1_1", "--weights", "random", "--workers", "0")
    tssr("extract-features", "--modality", "image", *encoder)
    return tssr


def test_the_weights_are_chosen_after_training_and_read_by_what_follows(prepared):
    made = prepared("train", "--model", "tssr-late", *OPTIONS, "--json")
    assert made.code == 0, made.err
    result = made.json["result"]
    assert set(result["shares"]) == PARTS
    assert sum(result["shares"].values()) == pytest.approx(1)
    assert result["validation_ndcg@10"] >= result["best"] - 1e-9  # the best alone, or what adds to it
    shown = prepared("evaluate", "--run", "late", "--split", "validation", "--topk", "10", "--json")
    measured = next(m for m in shown.json["measurements"] if m["protocol"]["mask"] == "none")
    assert measured["metrics"]["ndcg@10"] == pytest.approx(result["validation_ndcg@10"])
    assert "shares chosen on validation" in prepared("train", "--model", "tssr-late", *OPTIONS).out


def test_order_knn_trains_nothing_and_needs_no_content(prepared):
    made = prepared("train", "--model", "order-knn", "--run", "order", "--json")
    assert made.code == 0, made.err
    assert made.json["result"]["parameters"] == 0
    assert made.json["features"] == {}
