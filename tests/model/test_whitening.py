"""Whitened content: components of deviation 1 over the train items, and what is left of few items."""

import pytest
import torch

from tssr.core.errors import UsageError
from tssr.core.settings import resolve
from tssr.model.materials import ContentFeatures
from tssr.model.settings import ScaleSettings


def features(count, width, dtype=torch.float32):
    draw = torch.Generator().manual_seed(1)
    mixed = torch.randn(count, width, generator=draw) @ torch.randn(width, width, generator=draw) + 3
    vectors = torch.cat([torch.zeros(1, width), mixed]).to(dtype)
    present = torch.arange(count + 1) > 0
    return ContentFeatures("image", vectors, present)


def whitened(content, counts, **chosen):
    return content.centred(ScaleSettings(content_scale="whiten", **chosen), counts)


def test_train_items_have_mean_zero_and_no_common_direction():
    content, counts = features(60, 5), torch.ones(61)
    counts[50:] = 0  # ten items that training never saw: they are turned by the same matrix
    found = whitened(content, counts)
    assert found.shape == (61, 5)
    train = found[1:50].double()
    torch.testing.assert_close(train.mean(0), torch.zeros(5).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.T @ train / 49, torch.eye(5).double(), atol=1e-4, rtol=0)
    assert not found[0].any()
    assert found[50:].any(dim=1).all()


def test_a_rank_keeps_the_largest_components():
    content, counts = features(60, 5), torch.ones(61)
    whole = whitened(content, counts)
    torch.testing.assert_close(whitened(content, counts, whiten_rank=2), whole[:, :2])
    torch.testing.assert_close(whitened(content, counts, whiten_rank=99), whole)


def test_fewer_items_than_dimensions_leave_the_directions_in_which_they_vary():
    found = whitened(features(4, 10), torch.ones(5))
    assert found.shape == (5, 3)  # around their mean, four points span three directions
    assert found.isfinite().all()
    torch.testing.assert_close(found[1:].T @ found[1:] / 4, torch.eye(3), atol=1e-4, rtol=0)


def test_items_that_are_all_alike_are_all_nothing():
    content = ContentFeatures("image", torch.ones(4, 3), torch.arange(4) > 0)
    found = whitened(content, torch.ones(4))
    assert found.shape == (4, 1)
    assert found.isfinite().all()


def test_a_rank_without_whitening_is_refused():
    with pytest.raises(UsageError, match=r"--whiten-rank is for --content-scale whiten"):
        resolve(ScaleSettings, {"whiten_rank": 3})
