"""Neighbours by content: hand-made vectors whose neighbours are known, and choices that validation makes."""

import numpy as np
import pytest
import torch

from tssr.core.dataset import Queries
from tssr.model.checkpoint import load_model, save_model
from tssr.model.content_knn import DECAYS, ContentKNN
from tssr.model.materials import ContentFeatures, Materials
from tssr.model.recommender import RanksColdItems
from tssr.model.settings import ContentKNNSettings

# Around the train items' mean (5, 5): 1 to the east, 2 a little north of it, 3 north, 4 far west, 5 nothing.
VECTORS = torch.tensor([[0, 0], [7, 5], [7, 6], [5, 8], [1, 1], [0, 0]], dtype=torch.float16)
PRESENT = torch.tensor([False, True, True, True, True, False])


@pytest.fixture
def build_knn(histories_of):
    """A model of the five items; each was taken once in training."""

    def built(contents=None, length=3, **chosen):
        train = histories_of([[1, 2, 3], [4, 5]], 5)
        contents = contents or [ContentFeatures("image", VECTORS, PRESENT)]
        materials = Materials(5, length, contents, train, torch.from_numpy(train.counts()))
        return ContentKNN(materials, ContentKNNSettings(**chosen))

    return built


def asked(histories):
    count = len(histories)
    return Queries(np.arange(count, dtype=np.int32), histories, np.ones(count, dtype=np.int32))


def scores(model, histories):
    vectors, bias = model.items()
    return model.encode_queries(asked(histories), 0, len(histories)) @ vectors.T + bias


def cosines(one, others):
    one, others = np.array(one, float), np.array(others, float)
    return others @ one / np.linalg.norm(others, axis=1) / np.linalg.norm(one)


CENTRED = [(2, 0), (2, 1), (0, 3), (-4, -4)]


def test_with_no_decay_to_others_scores_are_the_cosines_with_the_newest_item(build_knn, histories_of):
    found = scores(build_knn(decay=0), histories_of([[4, 1], [3]], 5))
    np.testing.assert_allclose(found[0, :4], cosines(CENTRED[0], CENTRED), atol=1e-6)
    np.testing.assert_allclose(found[1, :4], cosines(CENTRED[2], CENTRED), atol=1e-6)
    assert not found[:, 4].any()  # the item without content is near nothing


def test_older_actions_weigh_less_by_place(build_knn, histories_of):
    """Weights 1, 1/2, 1/4 over L = 3; the oldest of four is not looked at."""
    found = scores(build_knn(decay=0.5), histories_of([[3, 4, 2, 1]], 5))[0, :4]
    expected = sum(weight * cosines(CENTRED[item], CENTRED) for weight, item in ((4, 0), (2, 1), (1, 3))) / 7
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_action_without_content_hands_its_weight_to_the_others(build_knn, histories_of):
    model = build_knn(decay=0.5)
    found = scores(model, histories_of([[4, 5]], 5))[0, :4]  # as if only 4 had been taken
    np.testing.assert_allclose(found, cosines(CENTRED[3], CENTRED), atol=1e-6)
    assert not scores(model, histories_of([[5, 5]], 5)).any()


def test_several_content_types_count_alike(build_knn, histories_of):
    """The mean of their cosines, whatever the lengths of their vectors."""
    other = ContentFeatures("text", 100 * VECTORS.flip(1), PRESENT)
    both = build_knn([ContentFeatures("image", VECTORS, PRESENT), other], decay=0)
    alone = [build_knn([content], decay=0) for content in (ContentFeatures("image", VECTORS, PRESENT), other)]
    asked_for = histories_of([[1], [2], [3]], 5)
    torch.testing.assert_close(scores(both, asked_for), sum(scores(one, asked_for) for one in alone) / 2)


def test_cold_items_are_ranked_as_all_others(build_knn):
    model = build_knn()
    assert isinstance(model, RanksColdItems)
    assert model.ranks_cold_items
    cold = torch.tensor([False, False, True, False, False])
    assert all(torch.equal(*pair) for pair in zip(model.items_with_cold(cold), model.items(), strict=True))


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("left_out", [True, False])
def test_it_takes_what_validation_prefers(build_knn, decay, left_out):
    model = build_knn()

    looks = []

    def validate():
        looks.append((float(model.decay), model.skips_last))
        return 1 - abs(float(model.decay) - decay) + 0.1 * (model.skips_last == left_out)

    chosen = model.choose(validate)
    assert len(looks) == len(set(looks)) == len(DECAYS) + 1, "validation is not asked the same twice"
    assert chosen == {"decay": decay, "last_item": "left-out" if left_out else "kept"}
    assert (float(model.decay), model.skips_last) == (pytest.approx(decay), left_out)


def test_what_is_given_is_not_chosen(build_knn):
    model = build_knn(decay=0.3, last_item="kept")
    assert model.choose(lambda: pytest.fail("nothing is left to choose")) == {}
    assert (float(model.decay), model.skips_last) == (pytest.approx(0.3), False)
    assert build_knn(last_item="kept").choose(lambda: 0.5) == {"decay": 0.0}


def test_what_was_chosen_is_saved(build_knn, tmp_path):
    model = build_knn()
    model.choose(lambda: float(model.decay) - model.skips_last)
    save_model(tmp_path / "model.safetensors", model, {})
    again = build_knn()
    load_model(tmp_path / "model.safetensors", again)
    assert (float(again.decay), again.skips_last) == (1.0, False)
