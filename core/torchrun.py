"""The processes that torchrun started: who this one is, and what they tell each other.

torch.distributed holds which processes there are, for the whole program. So functions that need to know call
`current_world()` where they need it, and it is passed to none of them as an argument.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PATIENCE = timedelta(days=2)  # the longest a rank waits for the slowest; torchrun ends all when one dies


@dataclass(frozen=True)
class World:
    """Process `rank` of `size`; the first one leads. All must make the same calls in the same order."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process plans, commits and reports."""
        return self.rank == 0

    def agree(self, work: bool = False) -> bool:
        """Tell all, as the leader, whether there is work; learn it, as another."""
        if self.size == 1:
            return work
        import torch

        flag = torch.tensor(int(work))
        torch.distributed.broadcast(flag, src=0)
        return bool(flag)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            import torch

            self.sum(torch.zeros(1))

    def sum(self, tensor: Tensor) -> Tensor:
        """Add up the processes' tensors of one shape, in place; all get the same bits."""
        if self.size > 1:
            import torch

            torch.distributed.all_reduce(tensor)
        return tensor

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
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        torch.distributed.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def current_world() -> World:
    """The processes joined; this one alone where there are none."""
    import torch

    if not torch.distributed.is_initialized():
        return World()
    return World(torch.distributed.get_rank(), torch.distributed.get_world_size())


def local_gpu() -> int:
    """The number of the GPU that belongs to this process, on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def joined_world() -> Iterator[World]:
    """Join the processes of this torchrun; alone where there is none.

    What lies on the CPU travels by gloo, what lies on a GPU by NCCL.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield World()
        return
    import torch

    gpus = torch.cuda.is_available() and torch.distributed.is_nccl_available()
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=PATIENCE)
    try:
        yield current_world()
    finally:
        torch.distributed.destroy_process_group()
