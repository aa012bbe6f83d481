"""A body that comes packed with gzip (RFC 1952) though that was not asked for, read as what it holds.

Some proxies pack whatever passes. Such a body has no parts to go on with, and its length and digest are those of what
is sent; gzip's own length and CRC are held against what comes out.
"""

import zlib
from typing import Final

import httpx

from exportctl.client.wire import Body

_PIECE: Final = 1 << 17
_GZIP: Final = 16 + zlib.MAX_WBITS


class Unpacked:
    """A `Body` to read from, unpacked. Memory is bounded by what is asked for at once. All of it blocks."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._piece = memoryview(bytearray(_PIECE))
        self._unpacker = zlib.decompressobj(_GZIP)
        self._rest = b""
        self._has_begun = False

    def read_into(self, view: memoryview) -> int | None:
        """As `Body.read_into`; raises `httpx.RemoteProtocolError` for what is not gzip, or ends too early."""
        while True:
            if data := self._unpack(len(view)):
                view[: len(data)] = data
                return len(data)
            got = self._body.read_into(self._piece)
            if got is None:
                return None
            if got == 0:
                if self._has_begun and not self._unpacker.eof:
                    raise httpx.RemoteProtocolError("what came packed is not whole")
                return 0
            self._rest, self._has_begun = bytes(self._piece[:got]), True

    def drop(self) -> None:
        """As `Body.drop`."""
        self._body.drop()

    def _unpack(self, most: int) -> bytes:
        """Return the next bytes, none where more must come first."""
        try:
            while True:
                data = self._unpacker.decompress(self._rest, most)
                self._rest = self._unpacker.unconsumed_tail
                if not self._unpacker.eof or data:
                    return data
                if not (self._rest or self._unpacker.unused_data):
                    return b""
                # Several may follow each other (2.2).
                self._rest = self._rest or self._unpacker.unused_data
                self._unpacker = zlib.decompressobj(_GZIP)
        except zlib.error as error:
            raise httpx.RemoteProtocolError(f"what came packed cannot be unpacked: {error}") from error
