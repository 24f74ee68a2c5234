"""Who comes into question and what speaks for each, against loops over items and places."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tssr.model.candidates import (
    CONTENT_PLACES,
    OF_ITEMS,
    ORDER_DECAYS,
    ORDER_PLACES,
    STRENGTH_UNIT,
    CandidateGenerator,
)
from tssr.model.ordered_pairs import BACK, count_ordered_pairs

N, D = 30, 4


def vectors_of(seed, absent=()):
    vectors = F.normalize(torch.from_numpy(np.random.default_rng(seed).standard_normal((N + 1, D))).float())
    vectors[[0, *absent]] = 0
    return vectors


@pytest.fixture
def logs(histories_of):
    """Train histories of some length, and histories to ask about: long, short, new items alone, empty."""
    draw = np.random.default_rng(2)
    train = [draw.integers(1, 21, draw.integers(1, 12)).tolist() for _ in range(25)]
    asked = [train[0], train[1][:2], [25], [], [26, 27, 3], list(range(1, 13))]
    return histories_of(train, N), histories_of(asked, N), asked


def lists_of(histories):
    return [histories.items[a:b].tolist() for a, b in zip(histories.starts, histories.ends, strict=True)]


def strengths(train):
    pairs = count_ordered_pairs(train)
    whole = np.zeros((N + 1, N + 1, 2))
    whole[pairs.sources, pairs.targets] = pairs.strengths
    return whole


def test_features_are_what_loops_find(logs):
    train, histories, asked = logs
    contents = [vectors_of(1), vectors_of(2, absent=[3, 25])]
    found = CandidateGenerator(train, contents, length=6, proposed=4).candidates(histories, 0, len(histories))
    leads, taken = strengths(train), train.counts()
    pairs = count_ordered_pairs(train)
    counts = np.zeros((N + 1, N + 1, 2))
    counts[pairs.sources, pairs.targets] = pairs.counts
    for row, history in enumerate(asked):
        back = [0] * max(CONTENT_PLACES, 6)  # the newest first
        back[: min(len(history), 6)] = history[::-1][:6]
        for item, features in zip(found.items[row], found.features[row], strict=True):
            if item == 0:
                continue
            expected = []
            for decay in ORDER_DECAYS:
                weights = [decay**place * (other > 0) for place, other in enumerate(back)]
                led = [leads[other, item] @ (1, BACK) for other in back]
                expected.append(np.dot(weights, led) / max(sum(weights), 1e-9))
            expected += [strength for other in back[:ORDER_PLACES] for strength in leads[other, item]]
            expected = [np.log1p(STRENGTH_UNIT * strength) for strength in expected]
            expected += np.log1p(counts[back[0], item]).tolist()
            for vectors in contents:
                rows = vectors.double().numpy()
                cosines = [rows[other] @ rows[item] for other in back[:CONTENT_PLACES]]
                weights = [0.8**place * bool(rows[other].any()) for place, other in enumerate(back)]
                mean = np.array(weights) @ rows[back] / max(sum(weights), 1e-9)
                expected += [*cosines, max(cosines), mean @ rows[item], rows[item].any()]
            takers = sum(item in row for row in lists_of(train))
            expected += [np.log1p(taken[item]), 1 - takers / max(taken[item], 1)]
            expected += [np.log1p(taken[back[0]]), np.log1p(len(history)), np.log1p(history.count(item))]
            expected += [1 / (1 + history[::-1].index(item)) if item in history else 0]
            np.testing.assert_allclose(features, expected, atol=1e-6, err_msg=f"{history}: {item}")


def test_candidates_are_the_best_of_each_kind_and_what_is_popular(logs, monkeypatch):
    monkeypatch.setattr("tssr.model.candidates.POPULAR", 2)
    train, histories, asked = logs
    vectors = vectors_of(1, absent=[27])
    found = CandidateGenerator(train, [vectors], length=6, proposed=3).candidates(
        histories, 0, len(histories)
    )
    leads, taken = strengths(train), train.counts()
    popular = sorted(range(1, N + 1), key=lambda item: (-taken[item], item))[:2]
    for row, history in enumerate(asked):
        window = history[-6:]
        weights = 0.6 ** np.arange(len(window) - 1, -1, -1)
        sums = sum(
            weight * leads[item] @ (1, BACK) for weight, item in zip(weights, window, strict=True)
        ) + np.zeros(N + 1)
        led = sorted((item for item in range(N + 1) if sums[item] > 0), key=lambda item: -sums[item])[:3]
        near = []
        newest_first = vectors[window[::-1]]
        mean = (0.8 ** torch.arange(len(window)) @ newest_first) if window else torch.zeros(D)
        for center in (vectors[window[-1]] if window else mean, mean):
            cosines = (vectors @ center).tolist()
            near += sorted(range(1, N + 1), key=lambda item: -cosines[item])[:3] if center.any() else []
        assert found.items[row][found.real[row]].tolist() == sorted({*popular, *led, *near, *window})


def test_neither_blocks_nor_neighbours_in_a_block_change_a_bit(logs):
    train, histories, _ = logs
    generator = CandidateGenerator(train, [vectors_of(1)], length=6, proposed=4)
    together = generator.candidates(histories, 0, len(histories))
    for row in range(len(histories)):
        alone = generator.candidates(histories, row, row + 1)
        count = int(alone.real.sum())
        assert together.items[row][:count].tolist() == alone.items[0][:count].tolist()
        np.testing.assert_array_equal(together.features[row][:count], alone.features[0][:count])


def test_of_a_cold_item_content_alone_is_known(logs):
    """Taken for cold, it is proposed by content alone and counts as never taken; others stay as they are."""
    train, histories, asked = logs
    vectors, cold = vectors_of(1), np.arange(N + 1) % 3 == 2
    generator = CandidateGenerator(train, [vectors], length=6, proposed=4)
    usual, found = (generator.candidates(histories, 0, len(histories), *given) for given in ((), (cold,)))
    content = slice(-OF_ITEMS - CONTENT_PLACES - 3, -OF_ITEMS)
    seen = 0
    for row, history in enumerate(asked):
        before = dict(zip(usual.items[row], usual.features[row], strict=True))
        for item, features in zip(found.items[row][found.real[row]], found.features[row], strict=False):
            if not cold[item]:
                if item in before:
                    np.testing.assert_array_equal(features, before[item])
                continue
            seen += 1
            window = vectors[history[-6:]]
            mean = 0.8 ** torch.arange(len(window)).flip(0) @ window
            nearest = torch.cat([(vectors @ of).topk(4).indices for of in (window[-1], mean)]).tolist()
            assert item in nearest, "proposed by what users did"
            assert not features[: content.start].any()
            assert not features[content.stop : content.stop + 2].any(), "it was never taken"
            np.testing.assert_array_equal(features[content], before[item][content])
    assert seen > 3


def test_equal_contents_are_proposed_by_their_numbers(logs):
    """More items than are proposed have one and the same content; which of them are must not be chance."""
    train, _, asked = logs
    vectors = vectors_of(1)
    vectors[4:25] = vectors[4]
    history = next(place for place, items in enumerate(asked) if items and 4 <= items[-1] < 25)
    found = CandidateGenerator(train, [vectors], length=6, proposed=5)
    near = found._nearest(vectors, vectors[None, asked[history][-1]])
    assert near.tolist() == [4, 5, 6, 7, 8]
