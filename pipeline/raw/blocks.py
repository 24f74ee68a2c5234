"""Reading a text file in blocks of whole lines, so that a file of any size needs bounded memory.

Each block has the number of its first line, so that a message can name the line of a malformed row.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ...core.errors import DataError
from .files import RawFile

BLOCK_BYTES = 2 << 20
LONGEST_LINE = 64 << 20
LONGEST_ROW = 8 << 20  # a quote that stays open longer is taken for a stray one; only its own row is dropped

_BOM = b"\xef\xbb\xbf"
_COMPRESSED = (
    (rb"\x1f\x8b", "gzip", "let it end in .gz"),
    (rb"PK\x03\x04", "zip", "unpack it, or let it end in .zip"),
    (rb"BZh[1-9]1AY&SY", "bzip2", "unpack it"),
    (rb"\xfd7zXZ", "xz", "unpack it"),
    (rb"\x28\xb5\x2f\xfd", "zstd", "unpack it"),
)
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_TAR_MARK = 257  # where every tar says what it is


@dataclass(frozen=True)
class ByteBlock:
    """Whole lines as bytes; only the last block of a file may lack the final newline."""

    data: bytes
    first_line: int

    @property
    def line_count(self) -> int:
        """Lines in the block, a last one without newline included."""
        return self.data.count(b"\n") + (not self.data.endswith(b"\n"))


def _cut(data: bytes, *, quoted: bool) -> int:
    """Where the last whole line ends; 0 where there is none.

    In quoted text a newline counts only where the quotes before it are balanced (RFC 4180), so a row with
    line breaks inside a field stays in one block.
    """
    end = data.rfind(b"\n") + 1
    if not quoted:
        return end
    odd = data.count(b'"', 0, end) % 2
    while end and odd:
        earlier = data.rfind(b"\n", 0, end - 1) + 1
        odd = (odd + data.count(b'"', earlier, end)) % 2
        end = earlier
    return end


def _read(file: RawFile, stream: BinaryIO, line: int) -> bytes:
    try:
        return stream.read(BLOCK_BYTES)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{file}: damaged or cut off somewhere after line {line - 1} ({error}); download it again"
        ) from None
    except OSError as error:
        raise DataError(f"{file}: could not be read ({error.strerror or error})") from None
    except UnicodeError:
        raise DataError(
            f"{file}: is no text in the encoding {file.encoding}, somewhere after line {line - 1}; name "
            "another one with --encoding"
        ) from None


def read_blocks(file: RawFile, *, quoted: bool = False) -> Iterator[ByteBlock]:
    """Yield the blocks of `file` in order, without a byte order mark; an empty file raises DataError.

    Raises DataError for a compressed file that is cut off, for text that is UTF-16 where `file` says UTF-8,
    and for a line longer than LONGEST_LINE.
    """
    with file.open() as stream:
        rest, line = _read(file, stream, 1).removeprefix(_BOM), 1
        if not rest:
            raise DataError(f"{file} is empty")
        if rest.startswith(_UTF_16):
            raise DataError(f"{file} is UTF-16 text; save it as UTF-8, or read it with --encoding utf-16")
        for start, kind, cure in _COMPRESSED:
            if re.match(start, rest):
                raise DataError(f"{file} is compressed by {kind} whatever its name says; {cure}")
        if rest[_TAR_MARK : _TAR_MARK + 5] == b"ustar":
            raise DataError(f"{file} is a tar archive whatever its name says; unpack it")
        more = True
        while more:
            end = _cut(rest, quoted=quoted and len(rest) <= LONGEST_ROW)
            if end:
                block = ByteBlock(rest[:end], line)
                yield block
                line += block.line_count
                rest = rest[end:]
            elif len(rest) > LONGEST_LINE:
                raise DataError(f"{file}, line {line}: is longer than {LONGEST_LINE >> 20} MiB")
            chunk = _read(file, stream, line + rest.count(b"\n"))
            more = bool(chunk)
            rest += chunk
        if rest:
            yield ByteBlock(rest, line)
