from dataclasses import replace
from unittest.mock import patch

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tssr.core.dataset import Queries
from tssr.core.errors import ArtifactError, DataError
from tssr.evaluation.ranking import RankingOptions, rank_targets, shard_range
from tssr.evaluation.recommending import recommend
from tssr.evaluation.scoring import DenseScorer, VectorScorer

MASKS = ("none", "exempt", "hard")


def vector_scorer(queries, items, bias=None):
    bias = np.zeros(len(items), np.float32) if bias is None else bias
    return VectorScorer(lambda lo, hi: queries[lo:hi], items.astype(np.float32), bias.astype(np.float32))


def exact_scores(scorer: VectorScorer, query_count: int):
    """Summed pair by pair in float64, as the definition has it."""
    queries = scorer.encode(0, query_count).astype(np.float64)
    scores = np.empty((query_count, len(scorer.items)))
    for q in range(query_count):
        for i in range(len(scorer.items)):
            products = np.append(queries[q], 1.0) * np.append(scorer.items[i], scorer.bias[i])
            scores[q, i] = products.sum()
    return scores


@st.composite
def cases(draw):
    """Few items and small integers, so that ties, repeats and long histories are the rule."""
    item_count = draw(st.integers(1, 40))
    query_count = draw(st.integers(1, 12))
    items = st.integers(1, item_count)
    histories = draw(st.lists(st.lists(items, max_size=30), min_size=query_count, max_size=query_count))
    targets = draw(st.lists(items, min_size=query_count, max_size=query_count))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    width = draw(st.integers(1, 20))
    if draw(st.booleans()):
        numbers = [rng.integers(-2, 3, shape) for shape in ((query_count, width), (item_count, width))]
        bias = rng.integers(-2, 3, item_count)
    else:
        numbers = [rng.standard_normal(shape) for shape in ((query_count, width), (item_count, width))]
        bias = rng.standard_normal(item_count)
        copies = rng.integers(0, item_count, item_count)  # many items are copies of others
        numbers[1], bias = numbers[1][copies], bias[copies]
    queries, vectors = (part.astype(np.float32) for part in numbers)
    return histories, targets, vector_scorer(queries, vectors, bias)


@given(
    case=cases(),
    window=st.integers(1, 5),
    depth=st.integers(1, 12),
    backend=st.sampled_from(["faiss", "torch"]),
    block=st.sampled_from([1, 5, 512]),
)
@settings(max_examples=150, deadline=None)
def test_ranks_equal_the_definition(ask, brute_force, case, window, depth, backend, block):
    histories, targets, scorer = case
    queries = ask(histories, targets, len(scorer.items))
    with patch("tssr.evaluation.ranking.BLOCK", block):
        ranks = rank_targets(queries, scorer, RankingOptions(MASKS, window, depth, backend))
    scores = exact_scores(scorer, len(targets))
    for mask in MASKS:
        assert_array_equal(ranks.by_mask[mask], brute_force(scores, queries, mask, window, depth), mask)
    assert_array_equal(ranks.users, queries.users)
    assert_array_equal(ranks.targets, targets)


@given(case=cases(), window=st.integers(1, 5), depth=st.integers(1, 12))
@settings(max_examples=50, deadline=None)
def test_dense_scores_are_compared_as_they_are(ask, brute_force, case, window, depth):
    histories, targets, vectors = case
    queries = ask(histories, targets, len(vectors.items))
    for scores in (exact_scores(vectors, len(targets)), exact_scores(vectors, len(targets)).astype("f4")):
        scorer = DenseScorer(lambda lo, hi, scores=scores: scores[lo:hi])
        ranks = rank_targets(queries, scorer, RankingOptions(MASKS, window, depth))
        for mask in MASKS:
            assert_array_equal(ranks.by_mask[mask], brute_force(scores, queries, mask, window, depth), mask)


@given(case=cases(), seed=st.integers(0, 2**32), depth=st.integers(1, 12), dense=st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_skipped_item_is_in_no_list_and_has_no_rank(ask, brute_force, case, seed, depth, dense):
    """One item of each query, or none; the target too may be it, and one search still serves all masks."""
    histories, targets, vectors = case
    count = len(vectors.items)
    skipped = np.random.default_rng(seed).integers(0, count + 1, len(targets))
    queries, scores = ask(histories, targets, count), exact_scores(vectors, len(targets))
    before = scores.copy()
    if dense:
        scorer = DenseScorer(lambda lo, hi: before[lo:hi], lambda lo, hi: skipped[lo:hi])
    else:
        scorer = replace(vectors, skipped=lambda lo, hi: skipped[lo:hi])
    ranks = rank_targets(queries, scorer, RankingOptions(MASKS, 3, depth))
    assert_array_equal(before, exact_scores(vectors, len(targets)))  # the caller's scores are not touched
    for row in np.flatnonzero(skipped):
        scores[row, skipped[row] - 1] = -np.inf
    for mask in MASKS:
        assert_array_equal(ranks.by_mask[mask], brute_force(scores, queries, mask, 3, depth), mask)


@given(case=cases(), seed=st.integers(0, 2**32), depth=st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_items_with_the_score_minus_infinity_are_in_no_list_and_have_no_rank(
    ask, brute_force, case, seed, depth
):
    """Other systems give it to what they leave out, such as the items that a user has already."""
    histories, targets, vectors = case
    queries, scores = ask(histories, targets, len(vectors.items)), exact_scores(vectors, len(targets))
    scores[np.random.default_rng(seed).random(scores.shape) < 0.5] = -np.inf
    scorer = DenseScorer(lambda lo, hi: scores[lo:hi])
    ranks = rank_targets(queries, scorer, RankingOptions(MASKS, 3, depth, lists=4))
    for mask in MASKS:
        assert_array_equal(ranks.by_mask[mask], brute_force(scores, queries, mask, 3, depth), mask)
    listed = ranks.lists["none"]
    for row, items in enumerate(listed):
        assert np.isfinite(scores[row, items[items > 0] - 1]).all()
        assert np.count_nonzero(items) == min(4, np.isfinite(scores[row]).sum())


@pytest.fixture(scope="module")
def shop(ask):
    """1,234 queries, no round number, over 700 real-valued items of which a third are exact copies."""
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((700, 48)).astype(np.float32)
    vectors[rng.integers(0, 700, 250)] = vectors[rng.integers(0, 700, 250)]
    states = rng.standard_normal((1234, 48)).astype(np.float32)
    histories = [rng.integers(1, 701, rng.integers(2, 60)).tolist() for _ in range(1234)]
    queries = ask(histories, rng.integers(1, 701, 1234).tolist(), 700)
    return queries, vector_scorer(states, vectors, rng.standard_normal(700))


def ranks_of(shop, **options):
    queries, scorer = shop
    return rank_targets(queries, scorer, RankingOptions(MASKS, window=10, **options)).by_mask


def assert_same(one, other):
    for mask in MASKS:
        assert_array_equal(one[mask], other[mask], mask)


def test_a_larger_set_equals_the_definition(shop, brute_force):
    queries, scorer = shop
    ranks = ranks_of(shop)
    scores = exact_scores(scorer, 200)
    first = Queries(queries.users[:200], queries.histories, queries.targets[:200])
    for mask in MASKS:
        assert_array_equal(ranks[mask][:200], brute_force(scores, first, mask, 10, 100))
        assert 0.05 < np.isnan(ranks[mask]).mean() < 0.95


@pytest.mark.parametrize("block", [13, 100, 1024, 5000])
def test_blocks_do_not_matter(shop, block):
    expected = ranks_of(shop)
    with patch("tssr.evaluation.ranking.BLOCK", block):
        assert_same(ranks_of(shop), expected)


@pytest.mark.parametrize("at_once", [1, 700, 5_000, 100_000])
def test_of_dense_scores_no_more_are_asked_for_at_once_than_fit_and_ranks_stay_the_same(shop, at_once):
    """512 queries and 700 items are 358,400 scores; with 5,000 at once, 4 queries are asked for."""
    queries, vectors = shop
    few = Queries(queries.users[:200], queries.histories.part(0, 200), queries.targets[:200])
    scores = exact_scores(vectors, 200)
    asked = []

    def block(lo, hi):
        asked.append(hi - lo)
        return scores[lo:hi]

    options = RankingOptions(MASKS, window=10, lists=5)
    whole = rank_targets(few, DenseScorer(block), options)
    assert asked == [200]
    with patch("tssr.core.blocks.SCORES_AT_ONCE", at_once):
        parts = rank_targets(few, DenseScorer(block), options)
        lists = recommend(few.histories, DenseScorer(block), 5)
    assert max(asked[1:]) <= max(1, at_once // 700)
    assert_same(parts.by_mask, whole.by_mask)
    assert_same(parts.lists, whole.lists)
    assert_array_equal(lists.items, whole.lists["none"])


def test_backends_and_threads_do_not_matter(shop):
    expected = ranks_of(shop, backend="faiss")
    torch_threads, faiss_threads = torch.get_num_threads(), faiss.omp_get_max_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            faiss.omp_set_num_threads(threads)
            for backend in ("faiss", "torch"):
                assert_same(ranks_of(shop, backend=backend), expected)
            assert faiss.omp_get_max_threads() == threads
    finally:
        torch.set_num_threads(torch_threads)
        faiss.omp_set_num_threads(faiss_threads)


def test_low_precision_products_are_switched_off_for_the_search(shop):
    expected = ranks_of(shop, backend="torch")
    torch.set_float32_matmul_precision("medium")
    try:
        assert_same(ranks_of(shop, backend="torch"), expected)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("shards", [1, 2, 3, 5])
def test_shards_join_to_the_whole(shop, shards):
    queries, scorer = shop
    options = RankingOptions(MASKS, window=10)
    bounds = [shard_range(len(queries), shard, shards) for shard in range(shards)]
    assert [lo for lo, _ in bounds][1:] == [hi for _, hi in bounds][:-1]
    assert (bounds[0][0], bounds[-1][1]) == (0, len(queries))
    asked = []

    def encode(lo, hi):
        asked.append((lo, hi))
        return scorer.encode(lo, hi)

    asking = VectorScorer(encode, scorer.items, scorer.bias)
    parts = [rank_targets(queries, asking, options, bounds=part) for part in bounds]
    joined = {mask: np.concatenate([part.by_mask[mask] for part in parts]) for mask in MASKS}
    assert_same(joined, ranks_of(shop))
    assert asked == [(0, 512), (512, 1024), (1024, 1234)]  # the same blocks whoever ranks them
    assert_array_equal(np.concatenate([part.users for part in parts]), queries.users)


def test_item_numbers_do_not_matter(shop):
    queries, scorer = shop
    new = np.random.default_rng(1).permutation(700)  # item i + 1 becomes new[i] + 1
    old = np.argsort(new)
    histories = queries.histories
    renumbered = type(histories)(
        (new[histories.items - 1] + 1).astype(np.int32), histories.starts, histories.ends, 700
    )
    moved = Queries(queries.users, renumbered, (new[queries.targets - 1] + 1).astype(np.int32))
    permuted = VectorScorer(scorer.encode, scorer.items[old], scorer.bias[old])
    assert_same(ranks_of((moved, permuted)), ranks_of(shop))


def test_longer_lists_change_nothing_but_what_lay_beyond(shop):
    shallow, deep = ranks_of(shop, depth=50), ranks_of(shop, depth=700)
    for mask in MASKS:
        assert_array_equal(shallow[mask], np.where(deep[mask] < 51, deep[mask], np.nan))
    assert not np.isnan(deep["none"]).any()


@pytest.mark.parametrize("backend", ["faiss", "torch"])
def test_constant_scores_get_the_middle_rank(ask, backend):
    queries = ask([[1, 2, 2], [9], [4, 5, 6]], [3, 7, 6], 99)
    scorer = vector_scorer(np.ones((3, 4), np.float32), np.ones((99, 4)))
    ranks = rank_targets(queries, scorer, RankingOptions(MASKS, 2, 100, backend)).by_mask
    assert_array_equal(ranks["none"], [50, 50, 50])
    assert_array_equal(ranks["exempt"], [49.5, 49.5, 49.5])  # {2}, {9} and {5} are out
    assert_array_equal(ranks["hard"], [49, 49.5, np.nan])
    shallow = rank_targets(queries, scorer, RankingOptions(MASKS, 2, 10, backend)).by_mask
    assert all(np.isnan(shallow[mask]).all() for mask in MASKS)


@pytest.mark.parametrize("backend", ["faiss", "torch"])
def test_popularity_with_massive_ties(ask, brute_force, backend):
    rng = np.random.default_rng(3)
    counts = np.sort(rng.integers(0, 6, 500))  # six tie groups of some 80 items, one across every cut
    histories = [rng.integers(1, 501, 30).tolist() for _ in range(60)]
    queries = ask(histories, rng.integers(1, 501, 60).tolist(), 500)
    scorer = vector_scorer(np.zeros((60, 1), np.float32), np.zeros((500, 1)), counts)
    scores = np.broadcast_to(counts, (60, 500))
    for depth in (5, 50, 100, 500):
        ranks = rank_targets(queries, scorer, RankingOptions(MASKS, 10, depth, backend)).by_mask
        for mask in MASKS:
            assert_array_equal(ranks[mask], brute_force(scores, queries, mask, 10, depth))


def test_one_item_is_always_first(ask):
    scorer = vector_scorer(np.ones((2, 3), np.float32), np.ones((1, 3)))
    ranks = rank_targets(ask([[], [1]], [1, 1], 1), scorer, RankingOptions(MASKS, 10)).by_mask
    assert_array_equal(ranks["none"], [1, 1])
    assert_array_equal(ranks["exempt"], [1, 1])
    assert_array_equal(ranks["hard"], [1, np.nan])


def test_only_the_window_is_exempt(ask):
    # Scores fall with the item number; the target 5 stands behind 1…4.
    scorer = vector_scorer(np.ones((1, 1), np.float32), np.arange(9, 0, -1)[:, None])
    queries = ask([[1, 2, 5, 3, 3]], [5], 9)
    for window, expected in ((1, 4), (2, 4), (3, 4), (4, 3), (5, 2), (99, 2)):
        ranks = rank_targets(queries, scorer, RankingOptions(("exempt",), window))
        assert ranks.by_mask["exempt"].tolist() == [expected]


def test_progress_is_told(shop):
    queries, scorer = shop
    steps = []
    rank_targets(queries, scorer, RankingOptions(), advance=steps.append)
    assert steps == [512, 512, 210]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e38])
def test_scores_that_are_no_numbers_are_refused(ask, bad):
    queries = ask([[1], [2], [3]], [2, 3, 1], 3)
    good = np.ones((3, 2), np.float32)
    broken = good.copy()
    broken[1, 0] = bad
    words = "the training diverged: lower --learning-rate"
    with pytest.raises(DataError, match=rf"NaN or infinite for query 1 and 0 more.*{words}"):
        rank_targets(queries, vector_scorer(broken, good * 10), RankingOptions())
    with pytest.raises(DataError, match="are NaN or infinite"):
        rank_targets(queries, vector_scorer(good * 10, broken), RankingOptions())
    if not np.isfinite(bad):
        if bad != -np.inf:  # of dense scores that means: in no list
            with pytest.raises(DataError, match="NaN or infinite for query 1"):
                rank_targets(queries, DenseScorer(lambda lo, hi: broken[lo:hi]), RankingOptions())
        with pytest.raises(DataError, match=f"item vectors are NaN or infinite; {words}"):
            rank_targets(queries, vector_scorer(good, broken), RankingOptions())


def test_a_model_of_another_data_set_is_refused(ask):
    scorer = vector_scorer(np.ones((1, 2), np.float32), np.ones((4, 2)))
    with pytest.raises(ArtifactError, match="the model scores 4 items, the data set has 3; train it again"):
        rank_targets(ask([[1]], [2], 3), scorer, RankingOptions())


@given(
    st.integers(1, 60),
    st.integers(1, 8),
    st.integers(0, 2**32),
    st.sampled_from(["faiss", "torch", "dense"]),
    st.sampled_from(["ties", "copies"]),
)
@settings(max_examples=100, deadline=None)
def test_lists_beside_the_ranks_equal_a_full_sort(ask, item_count, k, seed, backend, kind):
    rng = np.random.default_rng(seed)
    histories = [rng.integers(1, item_count + 1, rng.integers(0, 20)).tolist() for _ in range(5)]
    if kind == "ties":
        states, vectors = rng.integers(-1, 2, (5, 3)), rng.integers(-1, 2, (item_count, 3))
    else:
        states = rng.standard_normal((5, 17))
        vectors = rng.standard_normal((item_count, 17))[rng.integers(0, item_count, item_count)]
    states, vectors = states.astype(np.float32), vectors.astype(np.float32)
    scores = (states[:, None].astype(np.float64) * vectors[None]).sum(axis=2)
    queries = ask(histories, rng.integers(1, item_count + 1, 5).tolist(), item_count)
    scorer = VectorScorer(lambda lo, hi: states[lo:hi], vectors, np.zeros(item_count, np.float32))
    if backend == "dense":
        scorer, backend = DenseScorer(lambda lo, hi: scores[lo:hi]), "auto"
    options = RankingOptions(("none", "exempt", "hard"), window=4, depth=3, lists=k, backend=backend)
    found = rank_targets(queries, scorer, options)
    for mask, lists in found.lists.items():
        for q, target in enumerate(queries.targets):
            last = histories[q][-4:]
            hidden = {"none": [], "exempt": [i for i in last if i != target], "hard": histories[q]}[mask]
            items = [item for item in range(1, item_count + 1) if item not in hidden]
            best = sorted(items, key=lambda item: (-scores[q, item - 1], item))[:k]
            assert lists[q].tolist() == best + [0] * (k - len(best)), mask
