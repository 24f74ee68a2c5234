"""The search for weights: known answers, and NDCG among listed items against the plain definition."""

import math

import pytest
import torch

from tssr.model import blend_weights
from tssr.model.blend_weights import ListedItems, choose_weights

USERS, ITEMS = 400, 60


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def two_halves():
    """Each of two parts raises half of what there is to know of a user's target, amid noise of its own."""
    draw = drawn()
    targets = torch.randint(ITEMS, (USERS,), generator=draw)
    parts = torch.randn(2, USERS, ITEMS, generator=draw)
    parts[:, torch.arange(USERS), targets] += 1.5
    parts[1] *= 50  # scales differ, as those of logits and cosines do
    return parts, targets


def listed_of(parts, targets, skipped=None):
    halves = [slice(0, 150), slice(150, None)]
    return ListedItems.of(
        ([own[rows] for own in parts], targets[rows], None if skipped is None else skipped[rows])
        for rows in halves
    )


def ndcg(scores, targets, skipped=None):
    """By the definition, user by user over all items; equal scores count half."""
    total = 0.0
    for row, (own, target) in enumerate(zip(scores.tolist(), targets.tolist(), strict=True)):
        skip = -1 if skipped is None else int(skipped[row])
        others = [score for item, score in enumerate(own) if item not in (target, skip)]
        rank = 1 + sum(s > own[target] for s in others) + 0.5 * sum(s == own[target] for s in others)
        total += rank < 11 and target != skip and 1 / math.log2(1 + rank)
    return total / len(targets)


def test_two_equal_parts_share_and_beat_either_alone(two_halves):
    weights = choose_weights(listed_of(*two_halves), ["one", "other"])
    assert weights.shares == pytest.approx([0.5, 0.5], abs=0.16)
    assert weights.ndcg["together"] > 1.15 * max(weights.ndcg["one"], weights.ndcg["other"])


def test_what_it_reports_is_ndcg_of_the_weighted_scores(two_halves):
    parts, targets = two_halves
    parts[:, :, 7] = parts[:, :, 8]  # equal for all
    skipped = torch.where(torch.arange(USERS) % 2 == 0, torch.arange(USERS) % ITEMS, -1)
    weights = choose_weights(listed_of(parts, targets, skipped), ["one", "other"])
    for name, own in zip(("one", "other"), parts, strict=True):
        assert weights.ndcg[name] == pytest.approx(ndcg(own, targets, skipped), abs=1e-6)
    blended = (weights.of_item * (parts.flatten(1) - weights.shift[:, None])).sum(0).view(USERS, ITEMS)
    assert weights.ndcg["together"] == pytest.approx(ndcg(blended, targets, skipped), abs=2e-3)


def test_noise_gets_no_weight(two_halves):
    parts, targets = two_halves
    parts[1] = torch.randn(USERS, ITEMS, generator=drawn(5))
    weights = choose_weights(listed_of(parts, targets), ["good", "noise"])
    assert weights.shares[0] > 0.85
    parts[1] = -parts[0]
    weights = choose_weights(listed_of(parts, targets), ["good", "contrary"])
    assert weights.shares == pytest.approx([1, 0])
    assert weights.of_item[1].tolist() == [0]
    assert "by popularity" not in weights.ndcg


def test_a_part_that_says_nothing_is_left_out(two_halves):
    parts, targets = two_halves
    parts[1] = 3.0
    weights = choose_weights(listed_of(parts, targets), ["good", "silent"])
    assert weights.of_item.isfinite().all()
    assert weights.ndcg["together"] >= weights.ndcg["good"]


def test_three_parts_are_found_in_any_order(two_halves):
    parts, targets = two_halves
    third = torch.randn(1, USERS, ITEMS, generator=drawn(9))
    third[0, torch.arange(USERS), targets] += 1.5
    both = choose_weights(listed_of(*two_halves), ["a", "b"])
    all_three = choose_weights(listed_of(torch.cat([parts, third]), targets), ["a", "b", "c"])
    assert all_three.ndcg["together"] > both.ndcg["together"]
    assert min(all_three.shares) > 0.15


def test_classes_get_weights_of_their_own_where_that_pays(two_halves):
    """The second part knows even items only, and says nothing but noise of the odd ones."""
    parts, targets = two_halves
    kinds = torch.arange(ITEMS) % 2
    odd = kinds == 1
    parts[1][:, odd] = 50 * torch.randn(USERS, int(odd.sum()), generator=drawn(3))
    plain = choose_weights(listed_of(parts, targets), ["both", "even"])
    fine = choose_weights(listed_of(parts, targets), ["both", "even"], item_class=kinds)
    assert fine.ndcg["by popularity"] > plain.ndcg["together"]
    assert fine.of_item[1, 1] < fine.of_item[1, 0]
    users = torch.arange(USERS) % 2
    parts[0, users == 1] = torch.randn(USERS // 2, ITEMS, generator=drawn(4))
    by_user = choose_weights(listed_of(parts, targets), ["even", "odd"], user_class=users)
    assert by_user.ndcg["by history"] >= by_user.ndcg["together"]


def test_classes_that_tell_nothing_change_nothing(two_halves):
    """A gain of less than its standard error is chance: the same weight stays for all classes."""
    parts, targets = two_halves
    same = torch.stack([parts[0], parts[0] + 0.01 * parts[1]])
    kinds = torch.randint(3, (ITEMS,), generator=drawn(8))
    weights = choose_weights(listed_of(same, targets), ["a", "b"], item_class=kinds)
    assert weights.ndcg.get("by popularity", 0) - weights.ndcg["together"] < 0.02


def test_more_items_than_are_listed(two_halves, monkeypatch):
    monkeypatch.setattr(blend_weights, "LISTED", 20)
    parts, targets = two_halves
    found = listed_of(parts, targets)
    assert found.scores.shape == (2, USERS, 41)
    for row in (0, 399):
        listed = found.items[row][found.counted[row]].tolist()
        assert len(set(listed)) == len(listed)
        assert set(listed) == {int(targets[row])} | {
            item for own in parts for item in own[row].topk(20).indices.tolist()
        }
