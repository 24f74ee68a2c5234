"""Phrases that messages share: the first few of many names, another library's reason, the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def first_few(names: Sequence[str], shown: int = 3, separator: str = ", ") -> str:
    """The first few of many names, for a line that people can read.

    >>> first_few(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return separator.join(names[:shown]) + more


def reason_of(error: BaseException) -> str:
    """The first line of what another library's error says, or its kind where it says nothing.

    >>> reason_of(ValueError("bad magic number\\nat byte 0")), reason_of(EOFError())
    ('bad magic number', 'EOFError')
    """
    said = str(error).strip()
    return said.splitlines()[0] if said else type(error).__name__


def size_in_words(count: int) -> str:
    """A number of bytes in the unit that suits it: small files would all be 0.0 MiB.

    >>> size_in_words(0), size_in_words(1), size_in_words(262_144), size_in_words(5 << 30)
    ('0.0 KiB', '0.1 KiB', '256.0 KiB', '5,120.0 MiB')
    """
    if count < 1 << 20:
        return f"{max(count / (1 << 10), 0.1 if count else 0.0):.1f} KiB"
    return f"{count / (1 << 20):,.1f} MiB"


def nearest_name(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?` with the known name most like `name`, "" where none is alike.

    A name that begins like the one given comes before one that is written more alike:

    >>> nearest_name("sasrec", ["poprec", "sasrec-id", "esasrec"])
    '; did you mean sasrec-id?'
    """
    alike = difflib.get_close_matches(name, list(known), n=5)
    close = [other for other in alike if other.startswith(name)] or alike
    return f"; did you mean {close[0]}?" if close else ""


def unknown_name(what: str, name: object, known: Sequence[str], all_of: str = "there are") -> str:
    """The message that a name is unknown, with the nearest known name and a list of all.

    >>> unknown_name("model", "poprek", ["poprec", "tssr"])
    "unknown model 'poprek'; did you mean poprec? There are poprec, tssr"
    """
    nearest = nearest_name(str(name), known)
    joint = f"{nearest} {all_of[0].upper()}{all_of[1:]}" if nearest else f"; {all_of}"
    return f"unknown {what} {name!r}{joint} {', '.join(known)}"
