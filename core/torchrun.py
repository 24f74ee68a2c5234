"""The processes that torchrun started: the rank of this one, and the exchange of values between them.

torch.distributed keeps the process group as global state of the program. So a function that needs it calls
`current_world()`; it is not passed around as an argument.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from .errors import ArtifactError, TssrError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

PATIENCE = timedelta(days=2)  # the longest a rank waits for the slowest; torchrun ends all when one dies
# What gloo, NCCL and the store in which processes meet say of one that has ended. Gloo: "Connection closed by
# peer", or reset; "Broken pipe" for one who was sending. NCCL: "Connection closed by remote peer", "remote
# process exited or there was a network error", and afterwards "NCCL communicator was aborted".
_LOST = (
    "by peer",
    "by remote peer",
    "Broken pipe",
    "remote process exit",
    "NCCL communicator was aborted",
    "failed to recv",
)
_joins = itertools.count()
Found = TypeVar("Found")


@dataclass(frozen=True)
class World:
    """Process `rank` of `size`; rank 0 is the main one. All must make the same calls in the same order."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process plans, commits and reports."""
        return self.rank == 0

    def broadcast(self, value: bool = False) -> bool:
        """The main process's `value` on every process: it sends its own, and the others receive it."""
        if self.size == 1:
            return value
        import torch

        flag = torch.tensor(int(value))
        torch.distributed.broadcast(flag, src=0)
        return bool(flag)

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            import torch

            self.sum(torch.zeros(1))

    def sum(self, tensor: Tensor) -> Tensor:
        """Add up the tensors of all processes in place; every process gets the same bits."""
        if self.size > 1:
            import torch

            torch.distributed.all_reduce(tensor)
        return tensor

    def refuse_unequal(self, what: str, value: str) -> None:
        """Raise TssrError where the processes hold different values; `what` says in a word what it is.

        Each process looks at the files by itself, and another command may write to them in between. Example:
        rank 0 takes the newest run, another training ends, and rank 1 takes that one.
        """
        if self.size > 1:
            import torch

            digest = hashlib.sha256(value.encode()).digest()
            own = torch.frombuffer(bytearray(digest), dtype=torch.uint8)
            if not (self.gather(own[None]) == own).all():
                raise TssrError(
                    f"the processes of this torchrun found different {what}: something was written or "
                    "downloaded in between, so run the same command again"
                )

    def as_main_finds(self, read: Callable[[], Found | None], what: str) -> Found | None:
        """What `read` finds, or None on all processes where it finds nothing on the main one.

        Example: all take the metrics of an earlier command, or none. Raises ArtifactError where this process
        no longer finds what the main one did; `what` names it.
        """
        found = read() if self.is_main else None
        if not self.broadcast(found is not None):
            return None
        found = read() if found is None else found
        if found is None:
            raise ArtifactError(f"{what} was removed while it was read; run the same command again")
        return found

    def row_counts(self, count: int) -> list[int]:
        """Every process's `count`, by rank."""
        import torch

        counts = torch.zeros(self.size, dtype=torch.int64)
        counts[self.rank] = count
        return [int(each) for each in self.sum(counts)]

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes in the order of their ranks, (K, …) of any K -> (sum of K, …)."""
        if self.size == 1:
            return rows
        import torch

        counts = self.row_counts(len(rows))
        # all_gather wants the same shape everywhere: rows are filled up to the longest, and cut again.
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        torch.distributed.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def current_world() -> World:
    """The processes that were joined; a world of this process alone where none were."""
    import torch

    if not torch.distributed.is_initialized():
        return World()
    return World(torch.distributed.get_rank(), torch.distributed.get_world_size())


def local_gpu() -> int:
    """The number of the GPU that belongs to this process, on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def refuse_torchrun(command: str) -> None:
    """Raise UsageError under torchrun: each of its processes would do all of the command's work."""
    if process_count() > 1:
        raise UsageError(
            f"{command} does not share its work among processes; start it without torchrun, or without "
            "WORLD_SIZE in the environment (train, evaluate --run and extract-features share theirs)"
        )


def process_count() -> int:
    """How many processes this torchrun has started; 1 without torchrun."""
    given = os.environ.get("WORLD_SIZE") or "1"
    if not given.isdecimal():
        raise UsageError(f"the environment has WORLD_SIZE={given}, which is no number; unset it")
    return int(given)


def tells_lost_process(error: RuntimeError) -> bool:
    """Whether an exchange failed because another process has ended; torch has no error class for that."""
    return any(words in str(error) for words in _LOST)


def process_rank() -> int:
    """The rank of this process under torchrun, known before the processes are joined; 0 without torchrun."""
    return int(os.environ.get("RANK") or 0) if process_count() > 1 else 0


@contextmanager
def joined_world() -> Iterator[World]:
    """Join the processes of this torchrun; alone where there is none.

    Tensors on the CPU are exchanged by gloo, tensors on a GPU by NCCL. Raises TssrError where another process
    ended before the work was done.
    """
    if process_count() == 1:
        yield World()
        return
    import torch

    # Before the processes are joined: functions of this module have the group of all processes as the default
    # of an argument, which is evaluated at import. Imported later, as by the first optimizer, they would keep
    # the group and its threads to the end of the program, which then now and then aborts (SIGABRT).
    import torch.distributed.nn.functional
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    if torch.distributed.is_initialized():  # by the command that this stage is a step of
        yield current_world()
        return
    gpus = torch.cuda.is_available() and torch.distributed.is_nccl_available()
    store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
    # The store outlives the group: without a name of its own, a second group in one program would find the
    # addresses that the first left there, wait for them and hang.
    store = PrefixStore(f"join-{next(_joins)}", store)
    torch.distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=PATIENCE, store=store, rank=rank, world_size=size
    )
    try:
        yield current_world()
    except RuntimeError as error:
        if not tells_lost_process(error):
            raise
        raise TssrError("another process of this torchrun has ended; its own message says why") from error
    finally:
        torch.distributed.destroy_process_group()
