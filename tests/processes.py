"""How tests start processes: forked ones, several that meet as under torchrun, and programs begun anew.

A forked process knows what its test knows (its closures, what it has replaced); a program begins with
nothing, as a person starts it. All of them end with the test that started them, also where that fails or
reaches its time limit.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys

import pytest

from tssr.core.torchrun import joined_world

SECONDS_TO_END = 40  # that a program has once it is told to end; torchrun gives its own processes 30


@contextlib.contextmanager
def _forks():
    """Yield `start(function, 1)`, which calls `function(1)` in a process that ends with this block."""
    context = multiprocessing.get_context("fork")
    started = []

    def start(function, *arguments):
        started.append(context.Process(target=function, args=arguments))
        started[-1].start()
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.join()


@pytest.fixture
def fork():
    """`fork(function, 1, 2)`: call `function(1, 2)` in a process forked from this one."""
    with _forks() as start:
        yield start


@pytest.fixture
def program():
    """`program("-m", "tssr", "status")`: Python with these arguments as a program, in a group of its own."""
    started = []

    def start(*arguments, env=(), **options):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **dict(env)}
        command = [sys.executable, *map(str, arguments)]
        # In a group of its own, one signal reaches it and all that it started.
        started.append(subprocess.Popen(command, env=environment, start_new_session=True, **options))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            # First as a person ends it: torchrun's processes are in groups of their own, and it ends them.
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_TO_END)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture(scope="session")
def free_port():
    """`free_port()`: a port to meet at, another one each time.

    A system gives a program that asks for any port one from 32768 on, so one below is still free soon after.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 20000 + 1000 * (worker % 12)
    ports = itertools.cycle(range(first, first + 1000))
    for _ in range(os.getpid() % 1000):  # so that two test runs on one machine do not choose the same ones
        next(ports)

    def choose():
        while True:
            port = next(ports)
            with socket.socket() as tried, contextlib.suppress(OSError):
                tried.bind(("127.0.0.1", port))
                return port

    return choose


@pytest.fixture(scope="session")
def as_rank(free_port):
    """`as_rank(work, 3)`: calls `work(rank)` as torchrun does, when called with it in each of 3 processes."""

    def meeting(work, world):
        rendezvous = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": world}

        def run(rank):
            os.environ.update({name: str(value) for name, value in {**rendezvous, "RANK": rank}.items()})
            return work(rank)

        return run

    return meeting


@pytest.fixture(scope="session")
def on_ranks(tmp_path_factory, as_rank):
    """`on_ranks(3, work)`: call `work` in three processes, as torchrun does; what each returns, as JSON."""
    import torch

    torch.set_num_threads(1)  # a forked process waits forever for the OpenMP threads of its parent

    def run(world, work):
        results = tmp_path_factory.mktemp("ranks")

        def write(rank):
            with joined_world():
                (results / f"{rank}.json").write_text(json.dumps(work()))

        with _forks() as start:
            met = as_rank(write, world)
            for process in [start(met, rank) for rank in range(world)]:
                process.join()
        return [json.loads((results / f"{rank}.json").read_text()) for rank in range(world)]

    return run
