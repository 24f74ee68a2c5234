"""One share for each part: what is left out changes nothing, and no start decides the end."""

import math

import pytest
import torch

from tssr.model.blend_shares import Rivals, best_shares


def drawn(seed):
    return torch.Generator().manual_seed(seed)


def ndcg(scores, counted):
    """By the definition, user by user: column 0 is the target, equal scores count half."""
    total = 0.0
    for own, counts in zip(scores.tolist(), counted.tolist(), strict=True):
        others = [score for score, there in zip(own[1:], counts[1:], strict=True) if there]
        rank = 1 + sum(s > own[0] for s in others) + 0.5 * sum(s == own[0] for s in others)
        total += counts[0] and rank < 11 and 1 / math.log2(1 + rank)  # as evaluation counts hits
    return total / len(scores)


@pytest.mark.parametrize("shares", [[1.0, 0, 0], [0, 0.5, 0.5], [0.25, 0.5, 0.25]])
def test_what_is_left_out_changes_no_ndcg(shares):
    """Whole numbers, so that sums tie exactly; some items, and some targets, do not count."""
    scores = torch.randint(-3, 4, (3, 300, 40), generator=drawn(0)).float()
    scores[:, :200, 0] += 2
    counted = torch.rand(300, 40, generator=drawn(1)) < 0.9
    rivals = Rivals.of(scores, counted)
    weights = torch.tensor(shares)
    assert rivals.ndcg(weights) == pytest.approx(ndcg(torch.einsum("m,mqc->qc", weights, scores), counted))
    assert rivals.users < 300
    assert rivals.lead.shape[1] < int(counted[:, 1:].sum())


@pytest.fixture
def halves():
    """The first part knows 60 % of the users; the others a half each, and mislead about the other half.

    Together the two know all, for each is a little surer where it is right. Either beside the first changes
    nothing before it misleads as often as it helps.
    """
    users = torch.arange(400)
    first = torch.where(users % 5 < 3, 3.2, -3.2)
    one = torch.where(users < 200, 1.0, -0.95)
    other = torch.where(users < 200, -0.95, 1.0)
    scores = torch.zeros(3, 400, 30)
    scores[:, :, 0] = torch.stack([first, one, other])
    return Rivals.of(scores, torch.ones(400, 30, dtype=torch.bool))


def test_two_parts_that_only_help_together_are_found(halves):
    each = torch.eye(3)
    alone = [halves.ndcg(own) for own in each]
    assert alone == pytest.approx([0.6, 0.5, 0.5])
    for entering in (1, 2):  # so a search from the best part ends where it starts
        for share in torch.arange(0, 1.001, 0.025):
            assert halves.ndcg((1 - share) * each[0] + share * each[entering]) <= alone[0]
    shares = best_shares(halves, alone)
    assert halves.ndcg(shares) == 1
    assert shares[0] == 0
    assert shares.sum() == pytest.approx(1)
    assert torch.equal(best_shares(halves, alone), shares)


def test_a_part_that_entered_early_goes_out_again():
    """The best alone is a coarse copy of the two others' sum: beside both it is only noise."""
    draw = drawn(4)
    scores = torch.randn(3, 600, 60, generator=draw)
    scores[1:, :, 0] += 2
    scores[0] = scores[1] + scores[2] + torch.randn(600, 60, generator=draw)
    rivals = Rivals.of(scores, torch.ones(600, 60, dtype=torch.bool))
    alone = [rivals.ndcg(own) for own in torch.eye(3)]
    assert alone[0] == max(alone)
    shares = best_shares(rivals, alone)
    assert shares[0] < 0.05
    assert rivals.ndcg(shares) >= rivals.ndcg(torch.tensor([0, 0.5, 0.5]))


def test_one_part_has_all():
    scores = torch.randn(1, 50, 20, generator=drawn(2))
    rivals = Rivals.of(scores, torch.ones(50, 20, dtype=torch.bool))
    assert best_shares(rivals, [rivals.ndcg(torch.ones(1))]).tolist() == [1]
