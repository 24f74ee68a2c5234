import pytest

from tssr.model.schedule import learning_rate
from tssr.model.settings import TrainSettings


def rates(steps, **changed):
    settings = TrainSettings(learning_rate=0.1, **changed)
    return [learning_rate(settings, step, steps) for step in range(steps)]


def test_the_default_is_the_learning_rate_itself():
    assert rates(5) == [0.1] * 5


def test_warm_up_ends_at_the_learning_rate():
    assert rates(6, warmup_steps=4) == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


def test_cosine_starts_high_passes_half_and_nears_zero():
    found = rates(100, schedule="cosine")
    assert found[0] == 0.1
    assert found[50] == pytest.approx(0.05)
    assert found[25] == pytest.approx(0.1 * (1 + 0.5**0.5) / 2)
    assert 0 < found[99] < 1e-4
    assert found == sorted(found, reverse=True)


def test_cosine_begins_where_the_warm_up_ends():
    found = rates(12, schedule="cosine", warmup_steps=2)
    assert found[:3] == pytest.approx([0.05, 0.1, 0.1])
    assert found[7] == pytest.approx(0.05)


def test_a_warm_up_longer_than_training_never_ends():
    assert rates(3, schedule="cosine", warmup_steps=10) == pytest.approx([0.01, 0.02, 0.03])
