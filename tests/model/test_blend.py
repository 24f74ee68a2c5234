"""Blends of models: one inner product that is the weighted sum, dense parts, cold items, files."""

import numpy as np
import pytest
import torch

from tssr.core.dataset import Queries
from tssr.model.blend import DenseBlend, VectorBlend, blend
from tssr.model.checkpoint import load_model, save_model
from tssr.model.recommender import DenseRecommender, VectorRecommender
from tssr.model.settings import BlendSettings

CLASSES = BlendSettings(by_popularity=True, by_history=True)
PAIRS = [("sasrec-id", "content-knn"), ("bpr-mf", "poprec", "tssr"), ("itemknn", "sasrec-id", "bpr-mf")]


def asked(histories):
    count = len(histories)
    targets = (histories.items[histories.ends - 1] % 8 + 1).astype(np.int32)  # what follows on the ring
    return Queries(np.arange(count, dtype=np.int32), histories, targets)


def scores(model, queries):
    with torch.no_grad():
        if isinstance(model, DenseRecommender):
            return torch.from_numpy(model.scores(queries, 0, len(queries))).double()
        vectors, bias = model.items()
        return (model.encode_queries(queries, 0, len(queries)) @ vectors.T + bias).double()


def weighted(model, histories):
    """Any weights: as if they had been chosen."""
    draw = torch.Generator().manual_seed(3)
    for name in ("of_item", "of_user", "shift"):
        table = getattr(model, name)
        table.copy_(torch.rand(table.shape, generator=draw) + 0.2)
    model.user_bounds.copy_(torch.tensor([4, 6]))
    return model


@pytest.fixture
def counts(ring):
    """Train counts in which every class of popularity occurs."""
    return torch.tensor([0, 0, 2, 4, 5, 7, 19, 20, 300])


@pytest.mark.parametrize("names", PAIRS)
def test_scores_are_the_weighted_sum_of_the_parts(build, ring, counts, names):
    parts = [build(name, contents=1) for name in names]
    model = weighted(blend(parts, counts, CLASSES), ring)
    assert isinstance(model, DenseBlend if "itemknn" in names else VectorBlend)
    assert isinstance(model, DenseRecommender) != isinstance(model, VectorRecommender)
    queries = asked(ring)
    kinds = [0, 1, 1, 2, 2, 2, 3, 3]
    groups = [0 if n < 4 else 1 if n < 6 else 2 for n in ring.lengths]
    expected = torch.zeros(len(ring), 8, dtype=torch.float64)
    for m, part in enumerate(parts):
        own = scores(part, queries) - model.shift[m]
        expected += own * model.of_item[m][kinds] * model.of_user[m][groups][:, None]
    torch.testing.assert_close(scores(model, queries), expected, rtol=1e-5, atol=1e-5)


def test_the_newest_item_is_left_out_where_a_part_leaves_it_out(build, counts):
    def pair(last_item):
        parts = [build("sasrec-id"), build("content-knn", last_item=last_item)]
        return blend(parts, counts, BlendSettings())

    assert pair("left-out").skips_last
    assert not pair("kept").skips_last


def test_choosing_weighs_what_knows_above_what_does_not(build, ring, counts):
    """On the ring the next item's own content is that of no neighbour; a model trained a little knows it."""
    knows = build("sasrec-id")
    optimizer = torch.optim.Adam(knows.parameters(), lr=0.02)
    samples = knows.samples(ring, "all", torch.device("cpu"))
    for _ in range(40):
        optimizer.zero_grad()
        sum(knows.losses(samples.batch(torch.arange(samples.count))).values()).backward()
        optimizer.step()
    model = blend([build("poprec"), knows.eval()], counts, CLASSES)
    weights = model.choose(asked(ring), ["poprec", "sasrec-id"])
    assert weights.shares[1] > 0.6
    assert weights.ndcg["together"] == pytest.approx(1.0)
    best = scores(model, asked(ring)).argmax(dim=1) + 1
    assert best.tolist() == asked(ring).targets.tolist()


def test_cold_items_count_by_their_content_alone(build, ring, counts):
    parts = [build("sasrec-id"), build("content-knn")]
    model = weighted(blend(parts, counts, CLASSES), ring)
    assert model.ranks_cold_items
    cold = torch.tensor([True] + [False] * 7)
    before, (vectors, _) = model.items()[0], model.items_with_cold(cold)
    torch.testing.assert_close(vectors[1:], before[1:])
    with torch.no_grad():
        parts[0].head.weight[0], parts[0].head.bias[0] = 7.0, 9.0  # what actions would have taught
    assert torch.equal(model.items_with_cold(cold)[0], vectors)
    rarest = model.of_item[:, 1]  # the weights of the items with 1 to 4 train actions
    table, bias = parts[0].items()
    width = table.shape[1]
    torch.testing.assert_close(vectors[0, :width], rarest[0] * table[1:].mean(0))
    torch.testing.assert_close(vectors[0, width], rarest[0] * (bias[1:].mean() - model.shift[0]))
    torch.testing.assert_close(vectors[0, width + 1 : -1], rarest[1] * parts[1].items()[0][0])
    assert not blend([build("sasrec-id"), build("poprec")], counts, CLASSES).ranks_cold_items


def test_a_blend_whose_weights_leave_content_out_ranks_no_cold_items(build, ring, counts):
    """Without a weight for the part that reads content, all cold items would score the same."""
    model = weighted(blend([build("sasrec-id"), build("content-knn")], counts, CLASSES), ring)
    model.of_item[1, 2:] = 0  # frequent items only: new ones still count by their content
    assert model.ranks_cold_items
    model.of_item[1, 1] = 0
    assert not model.ranks_cold_items


def test_a_file_holds_weights_and_parts(build, ring, counts, tmp_path):
    names = ("sasrec-id", "content-knn")
    model = weighted(blend([build(name) for name in names], counts, CLASSES), ring)
    save_model(tmp_path / "model.safetensors", model, {"step": 0})
    again = blend([build(name, seed=5) for name in names], counts, CLASSES)
    load_model(tmp_path / "model.safetensors", again)
    assert torch.equal(scores(again, asked(ring)), scores(model, asked(ring)))


def test_cold_items_count_by_their_content_in_a_dense_blend_too(build, ring, counts):
    """To the part that counts pairs a cold item has the others' mean score, in every history."""
    parts = [build("itemknn"), build("sasrec-id"), build("content-knn"), build("tssr-rank")]
    model, queries = weighted(blend(parts, counts, CLASSES), ring), asked(ring)
    assert model.ranks_cold_items
    cold = torch.tensor([True, False, False, True] + [False] * 4)
    before, found = model.scores(queries, 0, 24), model.scores_with_cold(queries, 0, 24, cold)
    np.testing.assert_array_equal(found[:, ~cold], before[:, ~cold])
    expected = torch.zeros(24, 2, dtype=torch.float64)
    groups = [0 if n < 4 else 1 if n < 6 else 2 for n in ring.lengths]
    for m, part in enumerate(parts):
        own = scores(part, queries)
        said = own[:, cold] if m >= 2 else own[:, ~cold].mean(dim=1, keepdim=True)
        expected += (said - model.shift[m]) * model.of_item[m, 1] * model.of_user[m][groups][:, None]
    torch.testing.assert_close(torch.from_numpy(found[:, cold]), expected, rtol=1e-5, atol=1e-5)
    assert not blend(
        [build("itemknn"), build("sasrec-id"), build("rank-id")], counts, CLASSES
    ).ranks_cold_items


@pytest.mark.parametrize("cold", [False, True])
def test_a_ranking_computes_the_vectors_of_all_items_once_and_keeps_none(
    build, ring, counts, monkeypatch, cold
):
    parts = [build("itemknn"), build("sasrec-id"), build("bpr-mf")]
    model, queries = weighted(blend(parts, counts, CLASSES), ring), asked(ring)
    flags = torch.tensor([True] + [False] * 7) if cold else None
    whole = model.scorer(queries, flags)(0, 24)
    computed = []
    for part in parts[1:]:

        def items(kept=part.items):
            computed.append(kept)
            return kept()

        monkeypatch.setattr(part, "items", items)
    before = set(vars(model))
    scorer = model.scorer(queries, flags)
    blocks = [scorer(low, low + 8) for low in (0, 8, 16)]
    assert len(computed) == 2, "once for each part that has vectors"
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-6)
    assert set(vars(model)) == before


def test_weights_are_chosen_alike_however_many_scores_are_held_at_once(build, ring, counts, monkeypatch):
    chosen = []
    for at_once in (1 << 25, 16):
        monkeypatch.setattr("tssr.core.blocks.SCORES_AT_ONCE", at_once)
        model = blend([build("itemknn"), build("content-knn")], counts, CLASSES)
        chosen.append(model.choose(asked(ring), ("a", "b")))
    assert chosen[0].shares == chosen[1].shares
    assert torch.equal(chosen[0].of_item, chosen[1].of_item)
