"""TSSR-Rank: its features leave out what it is to foresee, it learns from it, and it ranks everything."""

import numpy as np
import pytest
import torch

from tssr.core.dataset import Queries
from tssr.core.errors import DataError
from tssr.model.batches import newest
from tssr.model.checkpoint import load_model, save_model
from tssr.model.kept_candidates import KeptCandidates
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


def test_what_it_is_to_foresee_is_not_in_its_features(build, histories_of):
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
    later = model._generator.candidates(histories_of([[3, 1]], 8), 0, 1)
    assert later.features[0, later.items[0] == 2, :8].any(), "asked later, all train actions count"


def test_learned_from_are_those_whose_target_is_a_candidate(build, histories_of, monkeypatch):
    monkeypatch.setattr("tssr.model.candidates.POPULAR", 0)
    train = histories_of([[1, 2, 1, 2], [1, 2, 1, 7], [5]], 8)
    model = build("tssr-rank", contents=1, candidates=1, train=train)
    lists = model.samples(train, "last", CPU)
    batch = lists.batch(torch.arange(lists.count))
    assert lists.count == 1
    assert batch.real.sum(dim=1).tolist() == [2], "1 is near by content to itself, and leads to 2"


def test_scale_and_number_of_candidates_decide_who_is_asked(histories_of, monkeypatch):
    monkeypatch.setattr("tssr.model.candidates.POPULAR", 0)
    train, draw = histories_of([[1, 2, 3], [4, 5, 6], [7, 8, 1]], 8), torch.Generator().manual_seed(1)
    vectors = torch.randn(9, 3, generator=draw) * torch.tensor([9.0, 1.0, 0.1])
    vectors[0] = 0
    content = ContentFeatures("text", vectors, torch.arange(9) > 0)

    def asked_about(**settings):
        materials = Materials(8, 5, [content], train, torch.from_numpy(train.counts()))
        model = RankTSSR(materials, RankTSSRSettings(**settings))
        return model._generator.candidates(train, 0, 3).items.tolist()

    raw, whitened = asked_about(candidates=2), asked_about(candidates=2, content_scale="whiten")
    assert raw != whitened
    assert np.count_nonzero(asked_about(candidates=1)) < np.count_nonzero(raw)


def test_nothing_to_learn_from_is_said(build, histories_of, monkeypatch):
    monkeypatch.setattr("tssr.model.candidates.POPULAR", 0)
    train = histories_of([[1, 7], [2, 6]], 8)
    with pytest.raises(DataError, match=r"no user's last train action is among the neighbours.*--candidates"):
        build("tssr-rank", candidates=1, train=train).samples(train, "last", CPU)


def test_what_is_no_candidate_follows_by_popularity(build, histories_of, monkeypatch):
    monkeypatch.setattr("tssr.model.candidates.POPULAR", 0)
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


KINDS, ALIKE = 5, 6
NEW = [kind * ALIKE + ALIKE for kind in range(KINDS)]  # one item of each kind was never taken


@pytest.mark.parametrize(("room", "found_again"), [(0, 6), (1 << 30, 0), (4000, 5)])
def test_validations_find_their_candidates_once_where_there_is_room(
    build, ring, monkeypatch, room, found_again
):
    monkeypatch.setattr("tssr.model.rank_tssr.AT_ONCE", 4)
    model, queries = build("tssr-rank", contents=1), asked(ring)
    fresh = model.eval().scores(queries, 0, len(queries))
    model.samples(ring, "last", CPU)
    model._kept = KeptCandidates(model._generator, room)
    model.mean.zero_()
    model.deviation.fill_(1)
    first = model.scores(queries, 0, len(queries))
    calls, find = [], model._generator.candidates
    monkeypatch.setattr(model._generator, "candidates", lambda *asked: calls.append(asked) or find(*asked))
    assert np.array_equal(model.scores(queries, 0, len(queries)), first)
    assert len(calls) == found_again
    assert np.array_equal(first, fresh)
    other = Queries(queries.users, ring.part(0, len(queries)), queries.targets)
    model.scores(other, 0, 4)
    assert len(calls) == found_again + 1, "other histories are asked about anew"


def shop_of_kinds(histories_of):
    """Everyone takes things of one kind; items are alike within a kind, a little more so by their numbers."""
    draw = np.random.default_rng(1)
    walks = [kind * ALIKE + 1 + draw.permutation(ALIKE - 1)[:4] for kind in range(KINDS) for _ in range(40)]
    vectors = torch.zeros(KINDS * ALIKE + 1, KINDS + 1)
    vectors[torch.arange(1, KINDS * ALIKE + 1), torch.arange(KINDS * ALIKE) // ALIKE] = 1
    vectors[1:, -1] = torch.linspace(-0.2, 0.2, KINDS * ALIKE)
    content = ContentFeatures("text", vectors, torch.arange(KINDS * ALIKE + 1) > 0)
    train = histories_of([walk.tolist() for walk in walks], KINDS * ALIKE)
    return Materials(KINDS * ALIKE, 5, [content], train, torch.from_numpy(train.counts()))


def ranks_of_new(materials, histories_of, **settings):
    """The rank of each kind's new item for someone who took two things of the kind."""
    torch.manual_seed(1)
    model = trained(RankTSSR(materials, RankTSSRSettings(dropout=0, **settings)), materials.train)
    histories = histories_of([[kind * ALIKE + 1, kind * ALIKE + 2] for kind in range(KINDS)], KINDS * ALIKE)
    cold = materials.train_counts[1:] == 0
    assert (cold.nonzero()[:, 0] + 1).tolist() == NEW
    queries = asked(histories, KINDS * ALIKE)
    scores = model.scores_with_cold(queries, 0, KINDS, cold)
    assert np.array_equal(scores, model.scores(queries, 0, KINDS)), "warm items' scores are another's"
    own = scores[np.arange(KINDS), np.array(NEW) - 1]
    return (scores > own[:, None]).sum(axis=1) + 1


def test_who_learned_from_items_taken_for_cold_ranks_new_ones_among_their_kind(histories_of):
    """Without them it has seen that what nobody took is never the answer: it puts it behind all others."""
    materials = shop_of_kinds(histories_of)
    assert ranks_of_new(materials, histories_of, cold_share=0.3).max() <= ALIKE
    assert ranks_of_new(materials, histories_of).min() > ALIKE


def test_what_nobody_took_is_no_wrong_answer_beside_items_taken_for_cold(histories_of):
    materials = shop_of_kinds(histories_of)

    def lists(share):
        torch.manual_seed(1)
        model = RankTSSR(materials, RankTSSRSettings(cold_share=share, candidates=30))
        return model.samples(materials.train, "last", CPU)

    whole, without = (lists(share).batch(torch.arange(200)) for share in (0.0, 0.3))
    assert whole.real.sum(dim=1).tolist() == [KINDS * ALIKE] * 200
    assert without.real.sum(dim=1).tolist() == [(ALIKE - 1) * KINDS] * 200
    taken = materials.train.items[materials.train.ends - 1]
    assert without.targets.tolist() == [item - 1 - item // ALIKE for item in taken.tolist()]
    assert torch.equal(without.features, lists(0.3).batch(torch.arange(200)).features), "one seed, one draw"


def test_only_content_tells_of_items_that_nobody_took(build):
    assert build("tssr-rank").ranks_cold_items
    assert not build("rank-id").ranks_cold_items
