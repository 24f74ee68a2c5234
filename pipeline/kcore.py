"""The k-core of a log: the largest part in which every user and every item has at least k actions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def core_mask(users: NDArray[np.int32], items: NDArray[np.int32], minimum: int) -> NDArray[np.bool_]:
    """Which of R actions belong to the k-core, (R,); `users` and `items` are codes from 0.

    Weak users and items are peeled off in rounds until none is left. The result does not depend on the order
    of peeling, because what is weak in a set is weak in every part of it.
    """
    user_kept = np.ones(int(users.max(initial=-1)) + 1, bool)
    item_kept = np.ones(int(items.max(initial=-1)) + 1, bool)
    left_users, left_items = users, items
    while True:
        user_kept &= np.bincount(left_users, minlength=len(user_kept)) >= minimum
        item_kept &= np.bincount(left_items, minlength=len(item_kept)) >= minimum
        strong = user_kept[left_users] & item_kept[left_items]
        if strong.all():
            mask: NDArray[np.bool_] = user_kept[users] & item_kept[items]
            return mask
        left_users, left_items = left_users[strong], left_items[strong]
