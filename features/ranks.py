"""The processes that torchrun started: who this one is, and waiting for the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

PATIENCE = timedelta(days=2)  # the longest a rank waits for the slowest; torchrun ends all when one dies


@dataclass(frozen=True)
class Ranks:
    """Process `rank` of `world`; the first one leads."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process plans, commits and reports."""
        return self.rank == 0

    def agree(self, work: bool = False) -> bool:
        """Tell all, as the leader, whether there is work; learn it, as another."""
        if self.world == 1:
            return work
        import torch

        flag = torch.tensor(int(work))
        torch.distributed.broadcast(flag, src=0)
        return bool(flag)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.world > 1:
            import torch

            torch.distributed.barrier()


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the processes of this torchrun; alone where there is none.

    Only flags travel between them, the vectors go to files, so gloo serves GPUs as well.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    import torch

    torch.distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Ranks(torch.distributed.get_rank(), world)
    finally:
        torch.distributed.destroy_process_group()
