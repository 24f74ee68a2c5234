"""A check that the ids in the actions occur in the table of items.

Where not a single item of the actions is in the table, the files do not fit: user and item are swapped, an id
lost its leading zeros (0012 became 12), or the two files are of different editions of a dump.
"""

from __future__ import annotations

import polars as pl

from ...core.errors import DataError
from ...core.schema import ITEM_ID
from ...core.words import first_few
from ..raw.dump import Catalogue
from ..raw.problems import Problems
from .protocol import Engine


def check_ids_meet(
    engine: Engine, catalogue: Catalogue | None, problems: Problems, editions: str, *, needed: bool
) -> None:
    """Note how many items of the actions are missing in the table of items.

    Raises DataError where all are missing and content is `needed`; `editions` is a sentence on how to tell
    the editions of this format apart.
    """
    if catalogue is None:
        return
    acted_on, known = engine.item_ids(), catalogue.table[ITEM_ID]
    unlisted = acted_on.filter(~acted_on.is_in(known.implode()))
    if unlisted.is_empty():
        return
    if len(unlisted) < len(acted_on):
        problems.note(
            f"{len(unlisted):,} items of the actions are not in the table of items ({unlisted[0]}, …)"
        )
        return
    why = _why(acted_on, engine.user_ids(), known)
    few = [first_few(ids.head(3).to_list()) for ids in (acted_on, known)]
    words = (
        f"none of the {len(acted_on):,} items of the actions ({few[0]}, …) is in the table of items "
        f"({few[1]}, …)"
    )
    words = "; ".join(filter(None, (words, why, editions)))
    if needed:
        raise DataError(f"{words}; --keep-missing-content goes on without content")
    problems.note(words)


def _why(items: pl.Series, users: pl.Series, known: pl.Series) -> str:
    """A likely reason why no id is found: swapped columns, leading zeros, or spelling; else a question."""
    if (share := _share(users, known)) > 0.5:
        return (
            f"{share:.0%} of the users are in it, so that user and item are swapped: swap them in --map, or "
            "take the file of the edition that this format reads"
        )
    if _share(items.str.strip_chars_start("0"), known.str.strip_chars_start("0")) > 0.5:
        return (
            "without leading zeros they would be: a program that takes ids for numbers has written one of "
            "the files; keep ids as text"
        )
    plain = [ids.str.strip_chars().str.to_lowercase() for ids in (items, known)]
    if _share(*plain) > 0.5:
        return "without blanks and capitals they would be: write ids alike in both files"
    return "are the two files of one edition, and is the column the one with the ids?"


def _share(ids: pl.Series, known: pl.Series) -> float:
    return int(ids.is_in(known.implode()).sum()) / max(len(ids), 1)
