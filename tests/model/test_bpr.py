import numpy as np
import pytest
import torch

from tssr.core.dataset import Queries
from tssr.core.errors import DataError
from tssr.model.batches import ActionSamples

CPU = torch.device("cpu")


def test_samples_are_all_train_actions(histories_of):
    actions = ActionSamples(histories_of([[1, 2, 2], [3]]), CPU)
    batch = actions.batch(torch.arange(actions.count))
    assert (batch.users.tolist(), batch.items.tolist()) == ([0, 0, 0, 1], [1, 2, 2, 3])
    assert actions.transitions == 4


def test_no_action_at_all_is_said(histories_of):
    with pytest.raises(DataError, match="no user has a training action"):
        ActionSamples(histories_of([[]]), CPU)


def test_the_loss_is_its_formula(build, histories_of, monkeypatch):
    train = histories_of([[1, 2], [3]])
    model = build("bpr-mf", train=train, l2=0.25)
    monkeypatch.setattr(model.negatives, "draw", lambda users: torch.tensor([5, 6, 7]))
    actions = ActionSamples(train, CPU)
    terms = model.losses(actions.batch(torch.arange(3)))
    bpr = squares = 0.0
    for user, taken, other in ((0, 1, 5), (0, 2, 6), (1, 3, 7)):
        u, i, j = (
            v.detach().double()
            for v in (model.users[user], model.vectors[taken - 1], model.vectors[other - 1])
        )
        bpr += float(torch.log1p(torch.exp(-(u @ i - u @ j)))) / 3
        squares += float(u @ u + i @ i + j @ j) / 3
    assert terms["bpr"].item() == pytest.approx(bpr, rel=1e-5)
    assert terms["l2"].item() == pytest.approx(0.25 * squares, rel=1e-5)


@torch.no_grad()
def test_a_user_without_a_vector_gets_the_mean_of_the_items(build, histories_of):
    train = histories_of([[1, 2], [], [4]])  # user 1 has no train action
    model = build("bpr-mf", train=train)
    asked = histories_of([[1, 2], [5, 6, 6], [4], [7, 8]])
    queries = Queries(np.array([0, 1, -1, 99], dtype=np.int32), asked, np.ones(4, dtype=np.int32))
    states = model.encode_queries(queries, 0, 4)
    assert torch.equal(states[0], model.users[0])
    torch.testing.assert_close(states[1], (model.vectors[4] + 2 * model.vectors[5]) / 3)
    torch.testing.assert_close(states[2], model.vectors[3])
    torch.testing.assert_close(states[3], (model.vectors[6] + model.vectors[7]) / 2)


@torch.no_grad()
def test_a_user_of_whom_nothing_is_known_has_a_state_of_zeros(build, histories_of):
    model = build("bpr-mf", train=histories_of([[1, 2], [4]]))
    asked = histories_of([[], [3], []])
    queries = Queries(np.array([-1, -1, 99], dtype=np.int32), asked, np.ones(3, dtype=np.int32))
    states = model.encode_queries(queries, 0, 3)
    assert not states[[0, 2]].any()
    assert torch.equal(states[1], model.vectors[2])
