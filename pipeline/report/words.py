"""The protocol as a sentence for a newcomer, and other phrases that stand beside numbers."""

from __future__ import annotations

from ...evaluation.measurement import Protocol

MASK_TITLES = {
    "none": "Nothing masked",
    "exempt": "Recent items masked",
    "hard": "Whole history masked",
}
_MASKS = {
    "none": "items they took before may be listed again",
    "exempt": "of the last {window} items they took, all but the right answer are kept out of the list",
    "hard": "whatever they took before is kept out of the list, so taking an item again counts as a miss",
}


def in_plain_words(protocol: Protocol) -> str:
    """How a number came about, in one sentence.

    >>> in_plain_words(Protocol("test", 2965, 775, "none", None))
    'For each of 2,965 users the model saw all but the last item taken and ranked all 775 items to guess it; \
items they took before may be listed again, and tied items share the middle rank.'
    """
    masked = _MASKS[protocol.mask].format(window=protocol.window)
    held_out = {
        "test": "saw all but the last item taken",
        "validation": "saw all but the last two items taken",
    }.get(protocol.split, "saw what was taken before the test period began")
    which = f" whose answer is {protocol.targets} in training" if protocol.targets != "all" else ""
    ranked = f"ranked all {protocol.candidates:,} items"
    if protocol.cold_items == "from content":
        bonus = f", plus {protocol.cold_bonus:g}" if protocol.cold_bonus else ""
        ranked += f" (those without a train action by their content{bonus})"
    if protocol.listed is not None:
        ranked = f"listed at most {protocol.listed:,} of {protocol.candidates:,} items"
    return (
        f"For each of {protocol.queries:,} users{which} the model {held_out} and {ranked} to guess it; "
        f"{masked}, and tied items share the middle rank."
    )


def short_id(name: str, width: int = 14) -> str:
    """A long id cut in its middle.

    >>> short_id("0011a467abda0ada79526ea2"), short_id("A17")
    ('0011a46…6ea2', 'A17')
    """
    return name if len(name) <= width else f"{name[:7]}…{name[-4:]}"
