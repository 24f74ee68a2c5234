"""Which silhouette belongs to which type of garment."""

from __future__ import annotations

from collections.abc import Callable

from .accessories import bag, beanie, boots, sneakers
from .geometry import Cut, Figure
from .lower_body import shorts, skirt, trousers
from .upper_body import dress, hoodie, jacket, shirt, sweater, t_shirt, vest_top

SILHOUETTES: dict[str, Callable[[Cut], Figure]] = {
    "T-shirt": t_shirt,
    "Vest top": vest_top,
    "Sweater": sweater,
    "Shirt": shirt,
    "Hoodie": hoodie,
    "Jacket": jacket,
    "Dress": dress,
    "Skirt": skirt,
    "Trousers": trousers,
    "Shorts": shorts,
    "Sneakers": sneakers,
    "Boots": boots,
    "Bag": bag,
    "Hat/beanie": beanie,
}
