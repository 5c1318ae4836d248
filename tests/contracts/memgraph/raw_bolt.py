"""Bolt byte by byte, with a codec of its own: what no driver would send.

Promise: nothing here is shared with the stand-in, so that one mistake cannot hide another.
"""

import struct
from types import TracebackType
from typing import Any, Self

import trio

MAGIC = b"\x60\x60\xb0\x17"
HELLO, LOGOFF, LOGON, GOODBYE = 0x01, 0x6B, 0x6A, 0x02
RUN, PULL, DISCARD, RESET, ROUTE, TELEMETRY = 0x10, 0x3F, 0x2F, 0x0F, 0x66, 0x54
BEGIN, COMMIT, ROLLBACK = 0x11, 0x12, 0x13
SUCCESS, RECORD, IGNORED, FAILURE = 0x70, 0x71, 0x7E, 0x7F
ANSWER_S = 20.0


def packed(value: Any) -> bytes:
    """The few sorts of values that these tests send."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return b"\xcb" + struct.pack(">q", value)
    if isinstance(value, str):
        raw = value.encode()
        return b"\xd2" + struct.pack(">I", len(raw)) + raw
    if isinstance(value, list):
        return b"\xd6" + struct.pack(">I", len(value)) + b"".join(map(packed, value))
    assert isinstance(value, dict)
    pairs = b"".join(packed(k) + packed(v) for k, v in value.items())
    return b"\xda" + struct.pack(">I", len(value)) + pairs


class Reading:
    """Unpacks one message."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def _take(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def _number(self, form: str) -> int:
        return int(struct.unpack(form, self._take(struct.calcsize(form)))[0])

    def value(self) -> Any:
        """The next value; a structure is (tag, fields)."""
        byte = self._number(">B")
        plain = {0xC0: None, 0xC2: False, 0xC3: True}
        if byte in plain:
            return plain[byte]
        if byte == 0xC1:
            return struct.unpack(">d", self._take(8))[0]
        if byte in (0xC8, 0xC9, 0xCA, 0xCB):
            return self._number(">" + "bhiq"[byte - 0xC8])
        if 0xB0 <= byte <= 0xBF:
            tag = self._number(">B")
            return tag, [self.value() for _ in range(byte & 15)]
        sort, size = self._sized(byte)
        if sort == "text":
            return self._take(size).decode()
        if sort == "list":
            return [self.value() for _ in range(size)]
        if sort == "map":
            return {self.value(): self.value() for _ in range(size)}
        return byte if byte < 0x80 else byte - 256

    def _sized(self, byte: int) -> tuple[str, int]:
        for sort, tiny, first in (("text", 0x80, 0xD0), ("list", 0x90, 0xD4), ("map", 0xA0, 0xD8)):
            if tiny <= byte <= tiny + 15:
                return sort, byte & 15
            if first <= byte <= first + 2:
                return sort, self._number(">" + "BHI"[byte - first])
        return "int", 0


class RawBolt:
    """A connection; use it with `async with`."""

    def __init__(self, host: str, port: int = 7687) -> None:
        self._where = host, port
        self._stream: trio.SocketStream
        self.buffer = b""
        self.records: list[Any] = []

    async def __aenter__(self) -> Self:
        self._stream = await trio.open_tcp_stream(*self._where)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await trio.aclose_forcefully(self._stream)

    async def send_bytes(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def read(self, count: int) -> bytes:
        """Exactly so many bytes. Raises EOFError when the server closes before."""
        with trio.fail_after(ANSWER_S):
            while len(self.buffer) < count:
                try:
                    data = await self._stream.receive_some()
                except trio.BrokenResourceError as error:
                    raise EOFError from error
                if not data:
                    raise EOFError(self.buffer)
                self.buffer += data
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    async def propose(self, *proposals: tuple[int, int, int]) -> bytes:
        """The answer to up to four (range, minor, major): 4 bytes, or what came before the end."""
        raw = b"".join(bytes((0, *proposal)) for proposal in proposals)
        await self.send_bytes(MAGIC + raw.ljust(16, b"\0"))
        return await self.read(4)

    async def send(self, tag: int, *fields: Any) -> None:
        data = bytes((0xB0 + len(fields), tag)) + b"".join(map(packed, fields))
        await self.send_bytes(struct.pack(">H", len(data)) + data + b"\0\0")

    async def receive(self) -> tuple[int, Any]:
        """Tag and only field of the next message. Raises EOFError at the end."""
        data = b""
        while True:
            (size,) = struct.unpack(">H", await self.read(2))
            if not size and data:
                break
            data += await self.read(size)
        tag, fields = Reading(data).value()
        return tag, fields[0] if fields else None

    async def call(self, tag: int, *fields: Any) -> tuple[int, Any]:
        """The answer to one message; records before it are in `records`."""
        await self.send(tag, *fields)
        self.records = []
        while (answer := await self.receive())[0] == RECORD:
            self.records.append(answer[1])
        return answer

    async def greet(self, version: tuple[int, int] = (5, 2)) -> dict[str, Any]:
        """Handshake and authentication; what the server says of itself."""
        major, minor = version
        assert await self.propose((0, minor, major)) == bytes((0, 0, minor, major))
        hello: dict[str, Any] = {"user_agent": "contract/1", "scheme": "none"}
        tag, told = await self.call(HELLO, hello)
        assert tag == SUCCESS, told
        if version >= (5, 1):
            tag, told = await self.call(LOGON, {"scheme": "none"})
            assert tag == SUCCESS, told
        return dict(told)

    async def is_closed(self) -> bool:
        """Whether the server ends the connection with nothing more to say."""
        try:
            await self.read(1)
        except EOFError:
            return True
        return False
