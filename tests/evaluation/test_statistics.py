import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tssr.core.errors import ArtifactError
from tssr.evaluation import statistics
from tssr.evaluation.ranking import Ranks
from tssr.evaluation.statistics import (
    DRAWS,
    against_each,
    holm,
    mean_interval,
    p_of_both,
    paired_test,
    user_ndcg,
)


def ranks(*found, users=None, targets=None):
    count = len(found)
    return Ranks(
        np.arange(count, dtype=np.int32) if users is None else np.array(users, dtype=np.int32),
        np.ones(count, dtype=np.int32) if targets is None else np.array(targets, dtype=np.int32),
        {"none": np.array(found, dtype=float)},
        100,
    )


def all_signs(differences):
    """The exact p-value: every combination of signs."""
    reached = abs(differences.sum()) - 1e-12
    signs = np.array(list(itertools.product((-1, 1), repeat=len(differences))))
    return np.mean(np.abs(signs @ differences) >= reached)


@pytest.mark.parametrize("seed", range(4))
def test_the_p_value_is_that_of_every_combination_of_signs(seed):
    draw = np.random.default_rng(seed)
    differences = draw.choice([-0.5, -0.2, 0.0, 0.2, 0.3, 0.7], 12)
    exact = all_signs(differences)
    assert paired_test(differences).p_value == pytest.approx(exact, abs=4 * (exact / DRAWS) ** 0.5 + 1e-3)


def test_five_users_all_better_have_the_p_value_one_knows():
    assert paired_test(np.array([0.1, 0.2, 0.3, 0.4, 0.5])).p_value == pytest.approx(2 / 2**5, abs=0.01)


def test_the_interval_is_that_of_every_way_to_draw_the_users():
    differences = np.array([0.0, 0.0, 0.3, -0.1, 0.6])
    means = np.array(list(itertools.product(differences, repeat=5))).mean(axis=1)
    test = paired_test(differences)
    assert (test.low, test.high) == pytest.approx(np.percentile(means, (2.5, 97.5)), abs=0.021)
    assert test.difference == pytest.approx(0.16)


def test_a_large_sample_agrees_with_the_normal_distribution():
    draw = np.random.default_rng(3)
    differences = np.round(draw.normal(0.02, 1, 5000), 1)
    error = differences.std(ddof=1) / 5000**0.5
    test = paired_test(differences)
    assert (test.low - test.difference) / error == pytest.approx(-1.96, abs=0.08)
    assert (test.high - test.difference) / error == pytest.approx(1.96, abs=0.08)


def test_under_no_difference_false_alarms_are_as_rare_as_promised():
    draw = np.random.default_rng(5)
    alarms = [paired_test(draw.choice([-1, -0.5, 0, 0.5, 1], 40)).p_value <= 0.1 for _ in range(200)]
    assert 0.03 <= np.mean(alarms) <= 0.17  # .1 ± three deviations of a share among 200


def test_equal_models_do_not_differ():
    test = paired_test(np.zeros(7))
    assert (test.difference, test.low, test.high, test.p_value) == (0, 0, 0, 1)


def test_neither_the_order_of_users_nor_the_size_of_a_step_counts(monkeypatch):
    differences = np.random.default_rng(1).choice([-0.3, 0.0, 0.1, 0.25], 300)
    whole = paired_test(differences)
    assert paired_test(differences[::-1]) == whole
    monkeypatch.setattr(statistics, "_NUMBERS_AT_ONCE", 100)
    assert paired_test(differences) == whole


def test_p_of_users_and_seeds_is_that_of_a_normal_test_with_both_variances():
    """1.96 errors from 0 are a p of .05, whichever of the two sources the error comes from."""
    users = np.tile([-1.0, 1.0], 50)
    over_users = 100**-0.5 * (100 / 99) ** 0.5  # the standard error of the mean of 100 values of -1 and 1
    for seed_error in (0.0, 0.3):
        error = (over_users**2 + seed_error**2) ** 0.5
        assert p_of_both(users + 1.959964 * error, seed_error) == pytest.approx(0.05, abs=1e-6)
        assert p_of_both(users - 1.959964 * error, seed_error) == pytest.approx(0.05, abs=1e-6)
    assert p_of_both(users, 0.3) == 1
    assert (p_of_both(np.zeros(4), 0.0), p_of_both(np.full(4, 0.5), 0.0)) == (1, 0)


def test_users_and_trainings_drawn_without_a_difference_raise_few_alarms():
    """Models that are equal but for chance: with both variances p <= .1 in about a tenth of the cases."""
    draw = np.random.default_rng(5)
    alarms, alone = 0, 0
    for _ in range(300):
        # (seeds, users): what each training adds for everybody, and what each user adds at every seed.
        values = draw.normal(0, 0.05, (8, 1)) + draw.normal(0, 1, (1, 400))
        seed_error = float(values.mean(axis=1).std(ddof=1) / 8**0.5)
        alarms += p_of_both(values.mean(axis=0), seed_error) <= 0.1
        alone += p_of_both(values.mean(axis=0), 0.0) <= 0.1
    assert 0.05 <= alarms / 300 <= 0.15
    assert alone > alarms


def holm_by_rejection(p_values):
    """Each p-value's smallest level at which the step-down procedure rejects it, by trying levels."""
    found = []
    for index in range(len(p_values)):
        for level in [k / 1000 for k in range(1001)]:
            rejected = set()
            for place, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
                if p_values[i] > level / (len(p_values) - place) + 1e-12:
                    break
                rejected.add(i)
            if index in rejected:
                found.append(level)
                break
        else:
            found.append(1.0)
    return found


@given(st.lists(st.integers(1, 1000).map(lambda k: k / 1000), min_size=1, max_size=4))
def test_holm_gives_the_level_at_which_the_procedure_rejects(p_values):
    assert holm(p_values) == pytest.approx(holm_by_rejection(p_values), abs=1e-3)


def by_seed(*of):
    return dict(enumerate(of))


def test_users_are_averaged_over_seeds_and_every_other_model_is_tested():
    focus = by_seed(ranks(1, 3, np.nan), ranks(3, 3, np.nan))
    assert user_ndcg(focus.values(), "none", 10).tolist() == [0.75, 0.5, 0.0]
    others = {"A": by_seed(ranks(3, 1, 1)), "B": by_seed(ranks(1, 3, np.nan))}
    tests = against_each(focus, others, "none", 10)
    assert tests["A"].difference == pytest.approx((0.25 - 0.5 - 1) / 3)
    assert tests["B"].difference == pytest.approx(-0.25 / 3)
    assert [t.adjusted for t in tests.values()] == holm([t.p_value for t in tests.values()])


def test_the_error_over_seeds_is_that_of_the_seeds_differences():
    focus, other = [ranks(1, 3), ranks(3, 3), ranks(1, 1)], [ranks(3, 3), ranks(3, 3), ranks(1, 3)]
    others = {"trained": by_seed(*other), "untrained": dict.fromkeys(range(3), ranks(3, 3))}
    tests = against_each(by_seed(*focus), others, "none", 10)
    for name, differences in {"trained": [0.25, 0, 0.25], "untrained": [0.25, 0, 0.5]}.items():
        assert tests[name].seed_error == pytest.approx(np.std(differences, ddof=1) / 3**0.5)
    alone = against_each(by_seed(ranks(1, 3)), {"A": by_seed(ranks(3, 3))}, "none", 10)
    assert alone["A"].p_all is None
    assert alone["A"].seed_error is None


def test_seeds_are_paired_by_number_where_some_diverged():
    """Seed 1 of the other diverged: its seed 2 is compared with seed 2, and the difference is of all."""
    focus = by_seed(ranks(1, 3), ranks(3, 3), ranks(1, 1))
    lost = {"two": {0: ranks(3, 3), 2: ranks(1, 3)}, "one": {2: ranks(1, 3)}, "others": {3: ranks(1, 1)}}
    tests = against_each(focus, lost, "none", 10)
    assert tests["two"].seed_error == pytest.approx(0, abs=1e-12), "both differences are .25"
    assert tests["two"].difference == pytest.approx(0.75 - 0.625)
    assert (tests["one"].seed_error, tests["one"].p_all) == (None, None), "of one seed there is no error"
    assert tests["one"].difference == pytest.approx(0)
    assert tests["others"].seed_error is None


def test_ranks_of_other_users_or_targets_are_refused():
    words = "different users or targets; make them again with: tssr evaluate --force"
    with pytest.raises(ArtifactError, match=words):
        user_ndcg([ranks(1, 2), ranks(1, 2, targets=[1, 2])], "none", 10)
    with pytest.raises(ArtifactError, match=words):
        against_each(by_seed(ranks(1, 2)), {"A": by_seed(ranks(1, 2, users=[0, 2]))}, "none", 10)


def test_a_test_in_one_line():
    assert paired_test(np.full(20, 0.25)).describe() == (
        "+0.2500 (95% interval +0.2500 to +0.2500), p = 0.0001 after Holm's correction"
    )


def test_the_interval_of_a_mean_is_the_normal_one_for_many_users():
    hits = np.random.default_rng(4).random(4_000) < 0.3
    found = mean_interval(hits.astype(np.float64))
    half = 1.96 * (found.mean * (1 - found.mean) / 4_000) ** 0.5
    assert found.mean == hits.mean()
    assert found.low == pytest.approx(found.mean - half, abs=0.05 * half)
    assert found.high == pytest.approx(found.mean + half, abs=0.05 * half)


def test_equal_values_leave_no_doubt():
    found = mean_interval(np.full(7, 0.5))
    assert (found.mean, found.low, found.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("shift", [0.0, 0.003, 0.008])
def test_many_different_values_have_the_p_value_and_interval_of_the_plain_way(monkeypatch, shift):
    draw = np.random.default_rng(11)
    differences = draw.normal(shift, 0.3, 20_000)
    differences[:9000] = draw.choice([-0.5, 0.0, 0.25], 9000)  # some values are frequent, most occur once
    fast = paired_test(differences)
    monkeypatch.setattr(statistics, "_STEPS", len(differences))
    monkeypatch.setattr(statistics, "DRAWS", 499)
    monkeypatch.setattr(statistics, "_NUMBERS_AT_ONCE", 1 << 24)
    plain = paired_test(differences, seed=2)
    error = (max(plain.p_value, 0.002) * (1 - plain.p_value) / 499) ** 0.5
    assert fast.p_value == pytest.approx(plain.p_value, abs=5 * error)
    width = plain.high - plain.low
    assert fast.low == pytest.approx(plain.low, abs=0.08 * width)
    assert fast.high == pytest.approx(plain.high, abs=0.08 * width)
    spread = differences.std() / len(differences) ** 0.5
    assert fast.high - fast.difference == pytest.approx(1.96 * spread, rel=0.06)


def test_signs_by_bytes_are_all_signs():
    sizes = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    sums = statistics._sums_of_eights(sizes, np.random.default_rng(0))
    found, counts = np.unique(sums, return_counts=True)
    assert found.tolist() == list(range(-31, 32, 2)), "each of the 32 combinations has a sum of its own"
    assert counts.min() > 0.75 * DRAWS / 32
    assert counts.max() < 1.25 * DRAWS / 32
