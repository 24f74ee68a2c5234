"""TSSR-Rank: its evidence leaves out what it is to foresee, it learns from it, and it ranks everything."""

import numpy as np
import pytest
import torch

from tssr.core.dataset import Queries
from tssr.core.errors import DataError
from tssr.model.batches import newest
from tssr.model.checkpoint import load_model, save_model
from tssr.model.materials import ContentFeatures, Materials
from tssr.model.rank_tssr import RankTSSR
from tssr.model.settings import RankTSSRSettings

CPU = torch.device("cpu")


def asked(histories, item_count=8):
    """Each history with the item that follows on the ring."""
    last = newest(histories, 0, len(histories), 1)[:, 0].numpy()
    return Queries(np.arange(len(last), dtype=np.int32), histories, (last % item_count + 1).astype(np.int32))


def trained(model, train, steps=150):
    samples = model.samples(train, "last", CPU)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        model.losses(samples.batch(torch.arange(samples.count)))["ce"].backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize(("name", "contents"), [("rank-id", 0), ("tssr-rank", 1), ("tssr-rank", 2)])
def test_it_learns_the_ring(build, ring, name, contents):
    model, queries = trained(build(name, contents), ring), asked(ring)
    scores = model.scores(queries, 0, len(queries))
    assert (scores.argmax(axis=1) + 1 == queries.targets).mean() > 0.8


def test_what_it_is_to_foresee_is_not_in_its_evidence(build, histories_of):
    """Everybody's last action is the only one that leads from 1 to 2: learning must not see it."""
    train = histories_of([[3, 1, 2]] * 4 + [[4, 1, 5]] * 2, 8)
    model = build("tssr-rank", train=train)
    lists = model.samples(train, "last", CPU)
    assert lists.count == 6
    batch = lists.batch(torch.arange(4))
    first = torch.cat([torch.zeros(1, dtype=torch.long), batch.real.sum(dim=1).cumsum(0)[:-1]])
    of_targets = batch.features[first + batch.targets, :8]
    assert of_targets.abs().sum() == 0, "the action itself is counted"
    assert batch.features[:, :8].abs().sum() > 0, "what came before is counted"
    later = model._evidence.candidates(histories_of([[3, 1]], 8), 0, 1)
    assert later.features[0, later.items[0] == 2, :8].any(), "asked later, all train actions count"


def test_learned_from_are_those_whose_target_is_a_candidate(build, histories_of, monkeypatch):
    monkeypatch.setattr("tssr.model.evidence.POPULAR", 0)
    train = histories_of([[1, 2, 1, 2], [1, 2, 1, 7], [5]], 8)
    model = build("tssr-rank", contents=1, candidates=1, train=train)
    lists = model.samples(train, "last", CPU)
    batch = lists.batch(torch.arange(lists.count))
    assert lists.count == 1
    assert batch.real.sum(dim=1).tolist() == [2], "1 is near by content to itself, and leads to 2"


def test_scale_and_number_of_candidates_decide_who_is_asked(histories_of, monkeypatch):
    monkeypatch.setattr("tssr.model.evidence.POPULAR", 0)
    train, draw = histories_of([[1, 2, 3], [4, 5, 6], [7, 8, 1]], 8), torch.Generator().manual_seed(1)
    vectors = torch.randn(9, 3, generator=draw) * torch.tensor([9.0, 1.0, 0.1])
    vectors[0] = 0
    content = ContentFeatures("text", vectors, torch.arange(9) > 0)

    def asked_about(**settings):
        materials = Materials(8, 5, [content], train, torch.from_numpy(train.counts()))
        model = RankTSSR(materials, RankTSSRSettings(**settings))
        return model._evidence.candidates(train, 0, 3).items.tolist()

    raw, whitened = asked_about(candidates=2), asked_about(candidates=2, content_scale="whiten")
    assert raw != whitened
    assert [len(items) for items in asked_about(candidates=1)] < [len(items) for items in raw]


def test_nothing_to_learn_from_is_said(build, histories_of, monkeypatch):
    monkeypatch.setattr("tssr.model.evidence.POPULAR", 0)
    train = histories_of([[1, 7], [2, 6]], 8)
    with pytest.raises(DataError, match=r"no user's last train action is among the neighbours.*--candidates"):
        build("tssr-rank", candidates=1, train=train).samples(train, "last", CPU)


def test_what_is_no_candidate_follows_by_popularity(build, histories_of, monkeypatch):
    monkeypatch.setattr("tssr.model.evidence.POPULAR", 0)
    train = histories_of([[1, 2]] * 3 + [[5], [5], [6]], 8)
    model = build("tssr-rank", candidates=1, train=train)
    order = np.argsort(-model.scores(asked(histories_of([[1]], 8)), 0, 1)[0], kind="stable") + 1
    assert set(order[:2]) == {1, 2}
    assert order[2:].tolist() == [5, 6, 3, 4, 7, 8]


def test_a_history_of_nobody_and_an_item_of_nobody_are_ranked(build, ring, histories_of):
    model = trained(build("tssr-rank"), ring)
    scores = model.scores(asked(histories_of([[], [8]], 8)), 0, 2)
    assert np.isfinite(scores).all()
    assert len(np.unique(scores[1])) > 1


def test_scale_of_features_and_weights_are_saved(build, ring, tmp_path):
    model, queries = trained(build("tssr-rank"), ring, steps=5), asked(ring)
    assert model.mean.abs().sum() > 0
    save_model(tmp_path / "m.safetensors", model, {"step": 5})
    again = build("tssr-rank", seed=2)
    load_model(tmp_path / "m.safetensors", again)
    found, expected = (part.scores(queries, 0, len(queries)) for part in (again, model))
    np.testing.assert_array_equal(found, expected)


def test_blocks_change_no_bit(build, ring, monkeypatch):
    model, queries = trained(build("tssr-rank"), ring, steps=5), asked(ring)
    whole = model.scores(queries, 0, len(queries))
    monkeypatch.setattr("tssr.model.rank_tssr.AT_ONCE", 5)
    np.testing.assert_array_equal(model.scores(queries, 0, len(queries)), whole)
    np.testing.assert_array_equal(model.scores(queries, 3, 9), whole[3:9])
