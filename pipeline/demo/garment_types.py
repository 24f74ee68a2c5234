"""The types of garment, with their place in H&M's hierarchy and the details a product may have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GarmentType:
    """A type of garment; numbers and names of the hierarchy are as H&M writes them."""

    name: str
    noun: str  # what a description calls it
    code: int
    group: str
    index: tuple[str, str]
    department: tuple[int, str]
    section: tuple[int, str]
    garment_group: tuple[int, str]
    price: float  # a usual price
    fabric: str
    details: tuple[tuple[str, ...], ...]  # each product takes one phrase of each group; "" is none


_UPPER, _LOWER, _SHOES, _ACCESSORIES = "Garment Upper body", "Garment Lower body", "Shoes", "Accessories"
_LADIES, _DIVIDED, _EXTRAS = ("A", "Ladieswear"), ("D", "Divided"), ("C", "Ladies Accessories")
_EVERYDAY = (15, "Womens Everyday Collection")
_BIG = (65, "Womens Big accessories")
_NECKS = ("a round neckline", "a V-neck")

GARMENT_TYPES: tuple[GarmentType, ...] = (
    GarmentType("T-shirt", "T-shirt", 255, _UPPER, _LADIES,
         (1676, "Jersey Basic"), (16, "Womens Everyday Basics"), (1005, "Jersey Fancy"),
         9.99, "soft cotton jersey",
         (_NECKS, ("", "a chest pocket"))),
    GarmentType("Vest top", "vest top", 253, _UPPER, _LADIES,
         (1676, "Jersey Basic"), (16, "Womens Everyday Basics"), (1002, "Jersey Basic"),
         7.99, "ribbed jersey",
         (("narrow shoulder straps", "wide shoulder straps"), ("", "a decorative bow"))),
    GarmentType("Sweater", "sweater", 252, _UPPER, _LADIES,
         (1626, "Knitwear"), _EVERYDAY, (1003, "Knitwear"),
         24.99, "a soft knit",
         (("a round neckline", "a roll neck"), ("ribbed cuffs and hem", "raglan sleeves"))),
    GarmentType("Shirt", "shirt", 259, _UPPER, _LADIES,
         (1543, "Blouse"), (53, "Divided Collection"), (1010, "Blouses"),
         19.99, "a cotton weave",
         (("long sleeves", "short sleeves"), ("", "a chest pocket"))),
    GarmentType("Hoodie", "hoodie", 308, _UPPER, _DIVIDED,
         (1643, "Basic 1"), (51, "Divided Basics"), (1002, "Jersey Basic"),
         24.99, "sweatshirt fabric",
         (("a kangaroo pocket", "a zip down the front"),)),
    GarmentType("Jacket", "jacket", 262, _UPPER, _LADIES,
         (1201, "Outwear"), (19, "Womens Jackets"), (1007, "Outdoor"),
         39.99, "a sturdy weave",
         (("notch lapels and buttons", "a diagonal zip"), ("", "flap pockets"))),
    GarmentType("Dress", "dress", 265, "Garment Full body", _LADIES,
         (1322, "Dress"), _EVERYDAY, (1013, "Dresses Ladies"),
         29.99, "an airy weave",
         (("short sleeves", "no sleeves", "long sleeves"), _NECKS, ("", "a tie belt"))),
    GarmentType("Skirt", "skirt", 275, _LOWER, _LADIES,
         (1444, "Skirt"), (53, "Divided Collection"), (1012, "Skirts"),
         17.99, "woven fabric",
         (("a flared shape", "a straight shape"), ("", "pleats", "buttons down the front"))),
    GarmentType("Trousers", "trousers", 272, _LOWER, _LADIES,
         (1722, "Trouser"), _EVERYDAY, (1009, "Trousers"),
         24.99, "stretch twill",
         (("wide legs", "straight legs", "tapered legs"), ("", "turn-ups"))),
    GarmentType("Shorts", "shorts", 274, _LOWER, _LADIES,
         (1723, "Shorts"), _EVERYDAY, (1025, "Shorts"),
         14.99, "cotton twill",
         (("", "turn-ups"), ("a drawstring waist", "a button fly"))),
    GarmentType("Sneakers", "sneakers", 94, _SHOES, _EXTRAS,
         (3828, "Sneakers"), (64, "Womens Shoes"), (1020, "Shoes"),
         29.99, "cotton canvas",
         (("a low shaft", "a high shaft"), ("", "a rubber toe cap"))),
    GarmentType("Boots", "boots", 87, _SHOES, _EXTRAS,
         (3529, "Boots"), (64, "Womens Shoes"), (1020, "Shoes"),
         49.99, "imitation leather",
         (("a low shaft", "a high shaft"), ("a block heel", "a flat sole"))),
    GarmentType("Bag", "bag", 66, _ACCESSORIES, _EXTRAS,
         (3209, "Bags"), _BIG, (1019, "Accessories"),
         19.99, "sturdy canvas",
         (("two handles", "a shoulder strap"), ("", "a flap with a metal clasp"))),
    GarmentType("Hat/beanie", "beanie", 75, _ACCESSORIES, _EXTRAS,
         (3519, "Gloves/Hats"), _BIG, (1019, "Accessories"),
         9.99, "a chunky knit",
         (("a turned-up cuff", "a narrow edge"), ("", "a pompom"))),
)  # fmt: skip
