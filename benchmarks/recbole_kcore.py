"""RecBole's own 5-core on a table of interactions; run by preprocess.py in an environment that has RecBole.

    python benchmarks/recbole_kcore.py interactions.npz

RecBole reads its own text format, so only its filter is timed: `Dataset._filter_by_inter_num`.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np
import pandas as pd
from recbole.data.dataset import Dataset


class Frame(Dataset):
    """As much of a RecBole data set as its filter uses."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.inter_feat, self.user_feat, self.item_feat = table, None, None
        self.uid_field, self.iid_field, self.label_field = "user_id", "item_id", None
        self.config = {"user_inter_num_interval": "[5,inf)", "item_inter_num_interval": "[5,inf)"}
        self.logger = type("Silent", (), {"debug": lambda *_: None})()


def main() -> None:
    """Filter the table and print seconds of processor time, actions left and peak memory in MiB."""
    columns = np.load(sys.argv[1])
    frame = Frame(pd.DataFrame({"user_id": columns["users"], "item_id": columns["items"]}))
    started = time.process_time()
    frame._filter_by_inter_num()
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{seconds:.3f} {len(frame.inter_feat)} {peak:.0f}")


if __name__ == "__main__":
    main()
