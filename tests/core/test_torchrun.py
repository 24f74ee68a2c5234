import time

import torch

from tssr.core.torchrun import Ranks, current_ranks, joined_ranks


def test_alone_nothing_is_asked_of_anybody():
    with joined_ranks() as ranks:
        assert ranks == current_ranks() == Ranks(0, 1)
    rows = torch.ones(2, 3)
    assert ranks.leads
    assert (ranks.agree(True), ranks.agree(False)) == (True, False)
    assert ranks.sum(rows) is ranks.gather(rows) is rows
    ranks.wait()


def test_what_the_first_says_holds_for_all(on_ranks):
    def work():
        ranks = current_ranks()
        return [ranks.agree(ranks.leads), ranks.agree(not ranks.leads), ranks.leads]

    assert on_ranks(3, work) == [[True, False, True], [True, False, False], [True, False, False]]


def test_everybody_waits_for_the_slowest(on_ranks, tmp_path):
    def work():
        ranks = current_ranks()
        time.sleep(0.3 * ranks.rank)
        (tmp_path / str(ranks.rank)).touch()
        ranks.wait()
        return len(list(tmp_path.iterdir()))

    assert on_ranks(3, work) == [3, 3, 3]


def test_rows_of_any_number_are_put_together_by_rank(on_ranks):
    def work():
        ranks = current_ranks()
        rows = torch.full((2 * ranks.rank, 2), float(ranks.rank))  # the first has none
        total = ranks.sum(torch.tensor([1, ranks.rank]))
        return [ranks.gather(rows).tolist(), total.tolist(), ranks.row_counts(len(rows))]

    rows = [[1.0, 1.0]] * 2 + [[2.0, 2.0]] * 4
    assert on_ranks(3, work) == [[rows, [3, 3], [0, 2, 4]]] * 3
