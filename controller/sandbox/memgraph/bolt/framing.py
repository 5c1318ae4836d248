"""The handshake and the chunks below the messages.

Promise: `choose_version` answers as Memgraph does for any four proposals; `MessageReader` returns
whole messages and holds at most `message_bytes_max` for a client.
"""

import struct
from typing import Protocol

from controller.sandbox.memgraph.failures import ProtocolBroken

MAGIC = b"\x60\x60\xb0\x17"
HANDSHAKE_BYTES = 20  # magic and four proposals
CHUNK_BYTES_MAX = 0xFFFF
MESSAGE_BYTES_MAX = 16 * 1024 * 1024  # far above any statement of the demo; bounds a hostile client
STRANGER_BYTES_MAX = 64 * 1024  # before anybody has logged on: a greeting is a few hundred bytes
RECEIVE_BYTES = 64 * 1024

Version = tuple[int, int]
OLDEST_SUPPORTED = frozenset({(1, 0), (4, 0), (4, 1), (4, 3), (5, 2)})


def supported_versions(release: tuple[int, int]) -> frozenset[Version]:
    """Bolt versions of a Memgraph release: 4.4 joined with 3.12 (MEMGRAPH 5, L16)."""
    return OLDEST_SUPPORTED | ({(4, 4)} if release >= (3, 12) else set())


def choose_version(proposals: bytes, supported: frozenset[Version]) -> Version | None:
    """The first supported version of four 4-byte proposals, ranges scanned downwards, or None."""
    for at in range(0, 16, 4):
        _, span, minor, major = proposals[at : at + 4]
        if major == 0 and minor == 0:
            return None  # an empty proposal ends the list
        for candidate in range(minor, max(-1, minor - span - 1), -1):
            if (major, candidate) in supported:
                return major, candidate
    return None


def chunked(message: bytes) -> bytes:
    """One message as chunks with its end mark."""
    if len(message) <= CHUNK_BYTES_MAX:
        return struct.pack(">H", len(message)) + message + b"\0\0"
    parts = []
    for at in range(0, len(message), CHUNK_BYTES_MAX):
        piece = message[at : at + CHUNK_BYTES_MAX]
        parts.append(struct.pack(">H", len(piece)) + piece)
    return b"".join(parts) + b"\0\0"


class ByteSource(Protocol):
    """What a reader needs of a connection."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Some bytes, or none at the end."""
        ...


class Peer(ByteSource, Protocol):
    """What a conversation needs of its connection."""

    peer: str  # the address, for the log

    async def send_all(self, data: bytes) -> None:
        """Send all of it."""
        ...


class MessageReader:
    """Cuts a byte stream into Bolt messages.

    Attributes:
        message_bytes_max: larger messages break the conversation off.
    """

    def __init__(self, source: ByteSource, message_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self.message_bytes_max = message_bytes_max
        self._source = source
        self._buffer = bytearray()

    async def read_exactly(self, count: int) -> bytes | None:
        """The next `count` bytes; None when the peer ended before."""
        while len(self._buffer) < count:
            if not await self._more():
                return None
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    async def read_message(self) -> bytes | None:
        """The next message; empty chunks between messages (NOOP) are skipped.

        Raises:
            ProtocolBroken: the message is larger than `message_bytes_max`.
        """
        message = bytearray()  # one buffer: a list of one-byte chunks would cost fifty times more
        while True:
            header = await self.read_exactly(2)
            if header is None:
                return None
            length = (header[0] << 8) | header[1]
            if length == 0:
                if message:
                    return bytes(message)
                continue
            if len(message) + length > self.message_bytes_max:
                raise ProtocolBroken("message too large")
            piece = await self.read_exactly(length)
            if piece is None:
                return None
            message += piece

    async def _more(self) -> bool:
        data = await self._source.receive_some(RECEIVE_BYTES)
        self._buffer += data
        return bool(data)
