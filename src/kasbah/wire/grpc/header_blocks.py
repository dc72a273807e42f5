"""HPACK with a memory: the calls of a connection say the same headers again and again.

A block that refers to the header table and leaves it as it is means the same until something changes the table. So what
such a block was made of, or meant, is kept until then: for all calls of a connection but the first few.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from hpack.hpack import Decoder, Encoder
from hpack.struct import HeaderTuple
from hpack.table import HeaderTable

_MOST_KEPT: Final = 64
"""Blocks of one connection in one direction."""
_LONGEST_KEPT: Final = 512
"""Bytes of a block; what is in the table takes one or two bytes a header."""
_MOST_FIELDS: Final = 32
"""Of a list that is kept: a byte of a block may stand for a field, which takes a hundred times as much."""


class _Table(HeaderTable):
    """Forgets everything that was kept as soon as it changes."""

    def __init__(self) -> None:
        self.known: dict[Any, Any] = {}
        self.changes = 0
        super().__init__()

    def add(self, name: bytes, value: bytes) -> None:
        self._changed()
        super().add(name, value)

    @property
    def maxsize(self) -> int:
        return self._maxsize

    @maxsize.setter
    def maxsize(self, size: int) -> None:
        self._changed()
        HeaderTable.maxsize.__set__(self, size)  # type: ignore[attr-defined] # a property's, whatever mypy sees

    def keep(self, key: object, value: object, block: bytes) -> None:
        """For the next time, if there is room."""
        if len(self.known) < _MOST_KEPT and len(block) <= _LONGEST_KEPT:
            self.known[key] = value

    def _changed(self) -> None:
        self.changes += 1
        self.known.clear()


class BlockEncoder(Encoder):
    """Header lists are of plain pairs here: nothing is marked as never to be indexed."""

    def __init__(self) -> None:
        super().__init__()
        self.header_table: _Table = _Table()

    @property
    def header_table_size(self) -> int:
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, size: int) -> None:
        if size != self.header_table.maxsize:  # else hpack would take back that there is a change to tell of
            Encoder.header_table_size.__set__(self, size)  # type: ignore[attr-defined] # as above

    def encode(self, headers: Iterable[Any], huffman: bool = True) -> bytes:  # noqa: FBT001, FBT002 - hpack's
        table, pairs = self.header_table, tuple(headers)
        if table.resized:  # the peer is to be told first
            return super().encode(pairs, huffman)
        known: bytes | None = table.known.get(pairs)
        if known is not None:
            return known
        changes = table.changes
        block = super().encode(pairs, huffman)
        if table.changes == changes:
            table.keep(pairs, block, block)
        return block


class BlockDecoder(Decoder):
    """What it answers is not to be changed: the next block may mean the same."""

    def __init__(self) -> None:
        super().__init__()
        self.header_table: _Table = _Table()

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:  # noqa: FBT001, FBT002 - hpack's
        table = self.header_table
        known: Iterable[HeaderTuple] | None = table.known.get(data) if raw else None
        if known is not None:
            return known
        changes = table.changes
        headers = list(super().decode(data, raw))
        if raw and table.changes == changes and len(headers) <= _MOST_FIELDS:
            table.keep(data, headers, data)
        return headers
