"""The proof of an export: its rank.py, in a process without tssr and torch, gives tssr's own lists."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.dataset import Float64, Histories, Int64, LoadedDataset, Queries
from ...core.errors import ArtifactError
from ...evaluation.recommending import recommend
from ...evaluation.scoring import Scorer, block_size, open_index

USERS, TOPK = 1000, 20
# The state of a user is the result of about ten matrix products in a row. The ranking's tolerance bounds the
# rounding error of one product, so differences of up to this many times the tolerance count as ties.
PRODUCTS = 10
_ALONE = (
    "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__'); "
    "sys.exit('rank.py imported tssr or torch' if {'tssr', 'torch'} & set(sys.modules) else 0)"
)


@dataclass(frozen=True)
class Proof:
    """How many users' lists of the `topk` best items are equal, and how many differ only in ties.

    `difference` is the largest difference between the scores of one place, in both lists.
    """

    users: int
    topk: int
    equal: int
    ties: int
    difference: float

    @property
    def share(self) -> float:
        """The share of equal lists."""
        return self.equal / self.users

    def describe(self) -> str:
        """What was found, in one line."""
        ties = f"; {self.ties:,} more differ among ties within rounding" if self.ties else ""
        return (
            f"{self.equal:,} of {self.users:,} users ({self.share:.2%}) get the same {self.topk} items in "
            f"the same order as from tssr{ties}; scores differ by {self.difference:.0e} at most"
        )

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def some_users(dataset: LoadedDataset) -> Queries:
    """Up to USERS users, spread evenly, each with all actions."""
    whole = dataset.histories
    users = np.unique(np.linspace(0, len(whole) - 1, min(USERS, len(whole))).astype(np.int64))
    return Queries(users.astype(np.int32), whole.take(users), np.zeros(len(users), np.int32))


def prove(
    folder: Path,
    asked: Sequence[Any],
    queries: Queries,
    scorer: Scorer,
    listed: Int64,
    item_ids: Sequence[str],
    topk: int,
) -> Proof:
    """Compare the `topk` best items of `folder`'s rank.py, given the lines `asked`, with those of `scorer`.

    `listed` are the numbers of the items that may stand in lists. Raises ArtifactError where a list differs
    in more than ties.
    """
    histories = queries.histories
    without = np.setdiff1d(np.arange(1, histories.item_count + 1), listed)
    own = recommend(histories, scorer, topk, without=without, device="cpu")
    number_of = {item_id: number for number, item_id in enumerate(item_ids, start=1)}
    found = _lists_of(folder, asked)
    theirs = np.array([[number_of[item] for item in line["items"][:topk]] for line in found])
    scores = np.array([line["scores"][:topk] for line in found], np.float64)
    rows = np.flatnonzero((theirs != own.items).any(axis=1))
    apart, tolerance = _own_scores(histories, scorer, theirs)
    apart = np.abs(apart - own.scores)[rows].max(axis=1, initial=0.0)
    beyond = rows[apart > PRODUCTS * tolerance[rows]]
    if len(beyond):
        raise ArtifactError(
            f"the exported files rank otherwise than the run for {len(beyond):,} of {len(asked):,} users "
            f"(the first: {str(asked[int(beyond[0])])[:80]}), so nothing was written; report this model"
        )
    difference = float(np.abs(scores - own.scores).max())
    return Proof(len(asked), topk, len(asked) - len(rows), len(rows), difference)


def _own_scores(histories: Histories, scorer: Scorer, items: Int64) -> tuple[Float64, Float64]:
    """The scores of items (Q, k) by tssr itself, in float64, and each query's bound on rounding, (Q,)."""
    index = open_index(scorer, histories.item_count, "auto", "cpu")
    scores, tolerance = np.empty(items.shape), np.empty(len(items))
    size = block_size(scorer, histories.item_count, len(items))
    for lo in range(0, len(items), size):
        block, part = index.block(lo, min(lo + size, len(items))), items[lo : lo + size]
        rows = np.repeat(np.arange(len(part)), part.shape[1])
        scores[lo : lo + size] = block.pair_scores(rows, part.ravel()).reshape(part.shape)
        tolerance[lo : lo + size] = block.tolerance
    return scores, tolerance


def _lists_of(folder: Path, asked: Sequence[Any]) -> list[dict[str, Any]]:
    """The output of rank.py; `python -I` keeps it from importing modules of the current folder."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", _ALONE, str(folder / "rank.py")],
        input="".join(json.dumps(line) + "\n" for line in asked),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"])[-1]
        raise ArtifactError(f"the exported rank.py fails ({said}), so nothing was written")
    return [json.loads(line) for line in done.stdout.splitlines()]
