import time

import torch

from tssr.core.torchrun import World, current_world, joined_world


def test_alone_nothing_is_asked_of_anybody():
    with joined_world() as world:
        assert world == current_world() == World(0, 1)
    rows = torch.ones(2, 3)
    assert world.is_main
    assert (world.broadcast(True), world.broadcast(False)) == (True, False)
    assert world.sum(rows) is world.gather(rows) is rows
    world.barrier()


def test_what_the_first_says_holds_for_all(on_ranks):
    def work():
        world = current_world()
        return [world.broadcast(world.is_main), world.broadcast(not world.is_main), world.is_main]

    assert on_ranks(3, work) == [[True, False, True], [True, False, False], [True, False, False]]


def test_everybody_waits_for_the_slowest(on_ranks, tmp_path):
    def work():
        world = current_world()
        time.sleep(0.3 * world.rank)
        (tmp_path / str(world.rank)).touch()
        world.barrier()
        return len(list(tmp_path.iterdir()))

    assert on_ranks(3, work) == [3, 3, 3]


def test_rows_of_any_number_are_put_together_by_rank(on_ranks):
    def work():
        world = current_world()
        rows = torch.full((2 * world.rank, 2), float(world.rank))  # the first has none
        total = world.sum(torch.tensor([1, world.rank]))
        return [world.gather(rows).tolist(), total.tolist(), world.row_counts(len(rows))]

    rows = [[1.0, 1.0]] * 2 + [[2.0, 2.0]] * 4
    assert on_ranks(3, work) == [[rows, [3, 3], [0, 2, 4]]] * 3
