"""TSSR-Late: parts that share nothing, no neighbours until weights are chosen, then a weighted sum."""

import numpy as np
import pytest
import torch

from tssr.core.dataset import Queries
from tssr.model.batches import newest
from tssr.model.checkpoint import load_model, save_model
from tssr.model.late_tssr import PARTS


def following(histories, item_count=8):
    """Each history with the item that follows on the ring."""
    last = newest(histories, 0, len(histories), 1)[:, 0].numpy()
    return Queries(np.arange(len(last), dtype=np.int32), histories, (last % item_count + 1).astype(np.int32))


def inner_products(model, queries):
    with torch.no_grad():
        vectors, bias = model.items()
        return (model.encode_queries(queries, 0, len(queries)) @ vectors.T + bias).double().numpy()


def trained(model, windows, steps=60):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        torch.stack(list(model.losses(windows.batch(torch.arange(windows.count))).values())).sum().backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("contents", [1, 2])
def test_its_losses_are_those_of_sasrec_over_ids_and_over_content(build, windows, contents):
    model, batch = build("tssr-late", contents), windows.batch(torch.arange(8))
    ids, content = model.blend.parts[:2]
    losses = model.losses(batch)
    assert losses["ids_ce"] == ids.losses(batch)["ce"]
    assert losses["content_ce"] == content.losses(batch)["ce"]


def test_no_part_learns_from_the_other_ones_loss(build, windows):
    for name, other in (("ids_ce", 1), ("content_ce", 0)):
        model = build("tssr-late")
        model.losses(windows.batch(torch.arange(8)))[name].backward()
        assert all(parameter.grad is None for parameter in model.blend.parts[other].parameters())
        own = model.blend.parts[1 - other].head.weight.grad
        assert own is not None
        assert own.any()


def test_every_part_that_reads_content_scales_it_as_asked(build):
    """Whitened to two components: 2 for the nearest by content and, with its bias, for its part's input."""
    model = build("tssr-late", content_scale="whiten", whiten_rank=2)
    _, content, near, _ = model.blend.parts
    assert near.items()[0].shape[1] == 2
    assert any(own.shape[-1] == 2 for own in content.parameters())


def test_until_weights_are_chosen_the_parts_alone_are_added(build, ring):
    model, queries = build("tssr-late"), following(ring)
    ids, content = (inner_products(part, queries) for part in model.blend.parts[:2])
    np.testing.assert_allclose(model.scores(queries, 0, len(queries)), ids + content, atol=1e-5)
    assert model.skips_last


def test_chosen_weights_are_used_and_saved(build, ring, windows, tmp_path):
    model, queries = trained(build("tssr-late"), windows), following(ring)
    before = model.scores(queries, 0, len(queries))
    assert (before.argmax(axis=1) + 1 == queries.targets).all()
    shares = model.weigh(queries)
    assert tuple(shares) == PARTS
    assert sum(shares.values()) == pytest.approx(1)
    after = model.scores(queries, 0, len(queries))
    assert (after.argmax(axis=1) + 1 == queries.targets).all()
    save_model(tmp_path / "m.safetensors", model, {"step": 1})
    again = build("tssr-late", seed=2)
    load_model(tmp_path / "m.safetensors", again)
    np.testing.assert_array_equal(again.scores(queries, 0, len(queries)), after)


def test_the_part_that_knows_gets_the_weight(build, ring):
    """Untrained parts know nothing of the ring, and pairs in their order everything."""
    shares = build("tssr-late").weigh(following(ring))
    assert max(shares, key=shares.get) == "order neighbours"


def test_of_a_cold_item_its_content_decides(build, ring):
    """What item table and counts say of cold items is the same for all; the others stay as they are."""
    model, queries = build("tssr-late"), following(ring)
    model.blend.of_item[:] = torch.tensor([[0.3], [0.2], [0.4], [0.1]])
    assert model.ranks_cold_items
    cold = torch.tensor([False, True, False, False, True, False, False, False])
    before, found = (
        model.scores(queries, 0, len(queries)),
        model.scores_with_cold(queries, 0, len(queries), cold),
    )
    np.testing.assert_array_equal(found[:, ~cold], before[:, ~cold])
    near = inner_products(model.blend.parts[2], queries)
    apart = found[:, cold] - 0.4 * near[:, cold]
    np.testing.assert_allclose(apart[:, 0], apart[:, 1], atol=1e-6)
    assert np.abs(found - before)[:, cold].max() > 1e-3
