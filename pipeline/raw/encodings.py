"""Text files that are not UTF-8: read through `--encoding`, and told apart where nobody named it."""

from __future__ import annotations

import codecs
import io
from typing import BinaryIO, cast

from .problems import Reason
from .settings import UTF_8


def not_utf_8(data: bytes) -> Reason:
    """The reason to drop a row of these bytes, with the encoding that they look like.

    Latin-1 has no printable letters at 0x80 to 0x9F, where cp1252 (Windows) has quotes and the euro sign; so
    such a byte means cp1252. The cure shows the text as read in this encoding: if it is nonsense there, the
    person sees that it is yet another one.

    >>> not_utf_8("Café;".encode("latin-1")).cure
    "say how the file is encoded, for example --encoding latin-1 (it reads 'Café;')"
    """
    name = "cp1252" if any(0x80 <= byte <= 0x9F for byte in data) else "latin-1"
    text = data.decode(name, errors="replace").strip()
    first = next((place for place, letter in enumerate(text) if not letter.isascii()), 0)
    start = text.rfind(" ", 0, first) + 1 if first - text.rfind(" ", 0, first) < 20 else first
    return Reason(
        "is not UTF-8",
        f"say how the file is encoded, for example --encoding {name} (it reads {text[start : start + 20]!r})",
    )


def as_utf_8(stream: BinaryIO, encoding: str) -> BinaryIO:
    """The bytes of a stream of text in `encoding` as those of the same text in UTF-8."""
    return stream if codecs.lookup(encoding).name == UTF_8 else cast(BinaryIO, _Recoded(stream, encoding))


class _Recoded(io.RawIOBase):
    """Reads text in one encoding as UTF-8; raises UnicodeError for bytes that are none of its letters."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()

    def read(self, size: int = -1, /) -> bytes:
        """About `size` bytes, more where letters take more bytes in UTF-8; b"" at the end alone."""
        while True:
            data = self._stream.read(size)
            text = self._decoder.decode(data, final=not data).encode()
            if text or not data:
                return text
