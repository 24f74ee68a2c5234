import subprocess
import sys
import time

import pytest
import torch

from tssr.core.errors import ArtifactError, TssrError
from tssr.core.torchrun import World, current_world, joined_world, tells_lost_process
from tssr.pipeline.commands import COMMANDS, RUN_BY_MANY

GLOO_THREADS_AT_THE_END = """
import contextlib
from pathlib import Path
import torch
from tssr.core.torchrun import joined_world

with joined_world() as world:
    torch.optim.AdamW([torch.zeros(2, requires_grad=True)])
    world.barrier()
left = 0
for name in Path("/proc/self/task").glob("*/comm"):
    with contextlib.suppress(OSError):  # a thread that ends just now
        left += "gloo" in name.read_text()
print(left)
"""

THREE_TIMES = """
from tssr.core.torchrun import joined_world

for _ in range(3):
    with joined_world() as world:
        world.barrier()
print("parted")
"""

THE_SECOND_LEAVES = """
import os
from tssr.core.errors import TssrError
from tssr.core.torchrun import joined_world

try:
    with joined_world() as world:
        world.barrier()
        if world.rank == 1:
            os._exit(3)
        world.barrier()
except TssrError as error:
    print(error)
"""


@pytest.fixture
def in_two_processes(program):
    """`in_two_processes(script)`: what each of two programs prints, started as torchrun does."""

    def run(script):
        # The store in which they meet is torchrun's, so that it outlives each of them; here it is of this
        # process.
        store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        meeting = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(store.port),
            "WORLD_SIZE": "2",
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "TORCHELASTIC_RESTART_COUNT": "0",
        }
        started = [
            program("-c", script, env={**meeting, "RANK": rank}, stdout=subprocess.PIPE, text=True)
            for rank in ("0", "1")
        ]
        return [process.communicate()[0].strip() for process in started]

    return run


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


def test_all_take_what_the_first_finds_or_nothing(on_ranks):
    def work():
        world = current_world()
        found = []
        for finding in ({0, 1}, {1}, {0}):
            try:
                kept = {"by": 1} if world.rank in finding else None
                found.append(world.as_main_finds(lambda kept=kept: kept, "metrics.json"))
            except ArtifactError as error:
                found.append(str(error))
        return found

    removed = "metrics.json was removed while it was read; run the same command again"
    assert on_ranks(2, work) == [[{"by": 1}, None, {"by": 1}], [{"by": 1}, None, removed]]


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


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads by their names in /proc")
def test_nothing_of_the_exchange_is_left_when_processes_part(in_two_processes):
    """Threads that are left to the end of a program abort it now and then, after all its work is done."""
    assert in_two_processes(GLOO_THREADS_AT_THE_END) == ["0", "0"]


@pytest.mark.slow
def test_who_waits_for_a_process_that_has_ended_says_so_in_one_line(in_two_processes):
    said = in_two_processes(THE_SECOND_LEAVES)
    assert said == ["another process of this torchrun has ended; its own message says why", ""]


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        ("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:31417", True),
        ("NCCL error in: NCCLUtils.hpp:268, remote process exited or there was a network error", True),
        (
            "ncclInternalError: Internal check failed. Last error: Net : Connection closed by remote peer",
            True,
        ),
        ("NCCL communicator was aborted on rank 1.", True),
        (
            "NCCL error in: NCCLUtils.hpp:268, invalid usage. Duplicate GPU detected : rank 0 and rank 1",
            False,
        ),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_the_words_of_gloo_and_of_nccl_for_a_process_that_has_ended_are_known(said, lost):
    assert tells_lost_process(torch.distributed.DistBackendError(said)) == lost


@pytest.mark.slow
def test_processes_that_have_parted_join_again(in_two_processes):
    """A script under torchrun that extracts pictures and then texts joins them twice."""
    assert in_two_processes(THREE_TIMES) == ["parted", "parted"]


def test_processes_that_found_different_things_say_so(on_ranks):
    def work():
        world = current_world()
        world.refuse_unequal("runs", "the same")
        try:
            world.refuse_unequal("runs", f"run {world.rank // 2}")
        except TssrError as error:
            return str(error)

    said = on_ranks(3, work)
    assert said[0] == said[1] == said[2]
    assert said[0].startswith("the processes of this torchrun found different runs: something was")


def test_commands_that_share_no_work_are_refused_under_torchrun(tssr, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for command in set(COMMANDS) - RUN_BY_MANY:
        assert tssr(command, "--help").code == 0
        done = tssr(command)
        assert done.code == 2
        assert done.err.startswith(f"error: {command} does not share its work among processes")
    assert "evaluate --lists does not share its work" in tssr("evaluate", "--lists", "lists.npy").err
    assert tssr("status").code == 0


@pytest.mark.parametrize(("given", "code"), [("", 0), ("1", 0), ("two", 2)])
def test_a_number_of_processes_that_is_none_is_one_line(tssr, monkeypatch, given, code):
    monkeypatch.setenv("WORLD_SIZE", given)
    done = tssr("status")
    assert done.code == code
    assert ("WORLD_SIZE=two, which is no number" in done.err) == bool(code)
