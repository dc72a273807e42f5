"""Request bodies that git sent compressed (`Content-Encoding: gzip`).

Pure. Inflates piece by piece, at most 64 KiB at a time, and stops at a cap: a kilobyte can pretend to be a gigabyte.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from kasbah.gitrepo.errors import BadGitRequestError, RequestTooLargeError

_PIECE: Final = 64 << 10
_GZIP = 16 + zlib.MAX_WBITS


class Inflater:
    """One gzip member, decompressed up to `max_bytes`."""

    def __init__(self, *, max_bytes: int) -> None:
        self._decompressor = zlib.decompressobj(_GZIP)
        self._max_bytes = max_bytes
        self._total = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields what these bytes inflate to, in bounded pieces.

        Raises:
            BadGitRequestError: not gzip, or bytes after its end.
            RequestTooLargeError: more than `max_bytes` came out.
        """
        more = bool(data)
        while more:
            if self._decompressor.eof:
                raise BadGitRequestError("bytes follow the end of the gzip body")
            piece = self._step(data)
            if piece:
                yield piece
            data = self._decompressor.unconsumed_tail or self._decompressor.unused_data
            # A full piece may have left output inside zlib although the input is used up.
            more = bool(data) or (len(piece) == _PIECE and not self._decompressor.eof)

    def finish(self) -> None:
        """Call at the end of the body: a cut-off one is an error."""
        if not self._decompressor.eof:
            raise BadGitRequestError("the gzip body was cut off")

    def _step(self, data: bytes) -> bytes:
        try:
            piece = self._decompressor.decompress(data, _PIECE)
        except zlib.error as error:
            raise BadGitRequestError("the body is not gzip, although its Content-Encoding says so") from error
        self._total += len(piece)
        if self._total > self._max_bytes:
            raise RequestTooLargeError(f"the request inflates to more than {self._max_bytes} bytes")
        return piece
