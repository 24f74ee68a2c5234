import sys

import numpy as np
import pytest

from tssr.core.errors import TssrError
from tssr.evaluation.geometry import unit_rows
from tssr.evaluation.item_map import draw_item_map, nearest_items


@pytest.fixture
def groups():
    """Three tight groups of 30 items around far directions, and which group each item is of."""
    draw = np.random.default_rng(3)
    group = np.repeat(np.arange(3), 30)
    vectors = np.eye(3, 8)[group] + 0.05 * draw.normal(size=(90, 8))
    order = draw.permutation(90)
    return vectors[order].astype(np.float32), group[order]


def same_group_share(places, group):
    """How often an item's nearest other item on the map is of its group."""
    distance = np.linalg.norm(places[:, None] - places, axis=-1)
    np.fill_diagonal(distance, np.inf)
    return (group[distance.argmin(axis=1)] == group).mean()


def test_groups_stay_together_and_a_seed_gives_one_map(groups):
    vectors, group = groups
    drawn = draw_item_map(vectors, seed=2)
    assert drawn.laid_out == 90
    assert drawn.places.min() >= 0
    assert drawn.places.max() <= 1
    assert same_group_share(drawn.places, group) == 1
    assert np.array_equal(drawn.places, draw_item_map(vectors, seed=2).places)


def test_length_does_not_matter_only_direction(groups):
    vectors, group = groups
    lengths = np.random.default_rng(1).uniform(0.5, 50, (90, 1)).astype(np.float32)
    assert same_group_share(draw_item_map(vectors * lengths).places, group) == 1


def test_items_that_tsne_did_not_place_stand_among_their_own(groups):
    vectors, group = groups
    drawn = draw_item_map(vectors, seed=2, laid_out=45)
    assert drawn.laid_out == 45
    assert same_group_share(drawn.places, group) > 0.95


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_a_tiny_catalogue_has_a_map_too(count):
    places = draw_item_map(np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)).places
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()


def test_neighbours_are_those_of_a_brute_force_search(groups):
    vectors, _ = groups
    likeness = unit_rows(vectors) @ unit_rows(vectors).T
    np.fill_diagonal(likeness, -np.inf)
    items = np.array([5, 90, 1])
    expected = np.argsort(-likeness[items - 1], axis=1)[:, :4] + 1
    assert np.array_equal(nearest_items(vectors, items, 4), expected)


def test_where_there_are_too_few_others_zero_fills_up_and_equals_are_never_oneself():
    twins = np.ones((3, 2), np.float32)
    found = nearest_items(twins, np.array([1, 2, 3]), 4)
    assert [sorted(row) for row in found.tolist()] == [[0, 0, 2, 3], [0, 0, 1, 3], [0, 0, 1, 2]]


def test_without_scikit_learn_the_cure_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(TssrError, match=r"pip install 'tssr\[report\]'"):
        draw_item_map(np.ones((5, 2), np.float32))
