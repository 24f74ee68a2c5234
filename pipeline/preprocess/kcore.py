"""The k-core of a log: the largest part in which every user and every item has at least k actions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def core_mask(users: NDArray[np.int32], items: NDArray[np.int32], minimum: int) -> NDArray[np.bool_]:
    """Which of R actions belong to the k-core, (R,); `users` and `items` are codes from 0.

    Users and items with fewer than k actions are removed in rounds, because each removal takes actions from
    others, until every one left has k. The result does not depend on the order of removal: a user with fewer
    than k actions in a log has no more in any part of it.
    """
    user_counts, item_counts = np.bincount(users), np.bincount(items)
    user_kept, item_kept = user_counts >= minimum, item_counts >= minimum
    left_users, left_items = users, items
    while True:
        # Actions whose user and item are both still there. The others take one from the counts of both, which
        # may bring another user or item below k in this round.
        strong = user_kept[left_users] & item_kept[left_items]
        weak = ~strong
        user_counts -= np.bincount(left_users[weak], minlength=len(user_counts))
        item_counts -= np.bincount(left_items[weak], minlength=len(item_counts))
        kept = np.count_nonzero(user_kept), np.count_nonzero(item_kept)
        user_kept &= user_counts >= minimum
        item_kept &= item_counts >= minimum
        # A round in which nobody fell out is the last: all who are left have k.
        if kept == (np.count_nonzero(user_kept), np.count_nonzero(item_kept)):
            mask: NDArray[np.bool_] = user_kept[users] & item_kept[items]
            return mask
        left_users, left_items = left_users[strong], left_items[strong]
