"""Make items cold: a log in which some items are drawn by a seed and are only ever a user's last action.

    python benchmarks/hold_out_items.py interactions.csv.gz cold.csv --share 0.1 --seed 1

The log has the columns user_id, item_id and position. Under leave-one-out the drawn items are then targets of
the test part alone: no train action, no validation target, no place in a history. A user left with fewer than
three actions is dropped. With --without-last every user's last action is dropped first: settings can be
chosen on such a log without a look at what the whole log's test part asks. The commands that follow are in
docs/cold-items.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl


def without_last(log: pl.DataFrame) -> pl.DataFrame:
    """The log without each user's last action."""
    rest = log.filter(pl.col("position") < pl.col("position").max().over("user_id"))
    return rest.filter(pl.len().over("user_id") >= 3)


def hold_out(log: pl.DataFrame, share: float, seed: int) -> tuple[pl.DataFrame, int]:
    """The log without the drawn items' actions but the users' last ones; and how many items were drawn."""
    items = log["item_id"].unique().sort()
    drawn = items.sample(fraction=share, seed=seed, shuffle=True)
    last = pl.col("position") == pl.col("position").max().over("user_id")
    kept = log.filter(last | ~pl.col("item_id").is_in(drawn.implode()))
    return kept.filter(pl.len().over("user_id") >= 3), len(drawn)


def main() -> None:
    """Read, hold out, write, and say what became of the log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--share", type=float, default=0.1, help="share of the items that are made cold")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without-last", action="store_true", help="drop every user's last action first")
    given = parser.parse_args()
    log = pl.read_csv(given.source, schema_overrides={"user_id": pl.String, "item_id": pl.String})
    if given.without_last:
        log = without_last(log)
    kept, drawn = hold_out(log, given.share, given.seed)
    kept.write_csv(given.target)
    print(f"{drawn} items drawn; {len(log):,} actions became {len(kept):,}")


if __name__ == "__main__":
    main()
