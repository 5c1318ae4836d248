"""PackStream: values to bytes and back.

Promise: every value of the format (null, booleans, 64 bit integers, floats, bytes, strings, lists,
maps, structures) survives the round trip, and hostile bytes end in `ProtocolBroken`, never in
another exception and never in a large allocation: lengths are checked against the bytes at hand.
"""

import struct
from typing import Any

import attrs

from controller.sandbox.memgraph.failures import ProtocolBroken

DEPTH_MAX = 64  # nested containers; deeper input is an attack on the recursion, not a query
VALUES_MAX = 1_000_000  # in one message: an empty map is one byte there and 64 in memory


@attrs.frozen
class Structure:
    """A tagged tuple: messages on the wire, nodes and relationships in records."""

    tag: int
    fields: tuple[Any, ...]


def pack(value: Any) -> bytes:
    """The bytes of one value.

    Raises:
        TypeError: no PackStream value, or an integer beyond 64 bits.
    """
    out = bytearray()
    _pack_into(out, value)
    return bytes(out)


def _pack_into(out: bytearray, value: Any) -> None:
    if value is None:
        out.append(0xC0)
    elif value is True:
        out.append(0xC3)
    elif value is False:
        out.append(0xC2)
    elif isinstance(value, int):
        out += _packed_int(value)
    elif isinstance(value, str):
        raw = value.encode("utf-8", "surrogatepass")
        out += _header(len(raw), 0x80, (0xD0, 0xD1, 0xD2))
        out += raw
    elif isinstance(value, float):
        out += struct.pack(">Bd", 0xC1, value)
    elif isinstance(value, dict):
        out += _header(len(value), 0xA0, (0xD8, 0xD9, 0xDA))
        for key, item in value.items():
            _pack_into(out, str(key))
            _pack_into(out, item)
    elif isinstance(value, (list, tuple)):
        out += _header(len(value), 0x90, (0xD4, 0xD5, 0xD6))
        for item in value:
            _pack_into(out, item)
    else:
        _pack_rare(out, value)


def _pack_rare(out: bytearray, value: Any) -> None:
    if isinstance(value, (bytes, bytearray)):
        out += _header(len(value), None, (0xCC, 0xCD, 0xCE))
        out += value
    elif isinstance(value, Structure):
        out += bytes((0xB0 + len(value.fields), value.tag))
        for field in value.fields:
            _pack_into(out, field)
    else:
        raise TypeError(f"no PackStream form for {type(value).__name__}")


def _packed_int(value: int) -> bytes:
    if -16 <= value < 128:
        return struct.pack(">b", value)
    if -128 <= value < 128:
        return struct.pack(">Bb", 0xC8, value)
    if -0x8000 <= value < 0x8000:
        return struct.pack(">Bh", 0xC9, value)
    if -0x8000_0000 <= value < 0x8000_0000:
        return struct.pack(">Bi", 0xCA, value)
    if -(1 << 63) <= value < 1 << 63:
        return struct.pack(">Bq", 0xCB, value)
    raise TypeError("an integer beyond 64 bits")


def _header(length: int, tiny: int | None, markers: tuple[int, int, int]) -> bytes:
    if tiny is not None and length < 16:
        return bytes((tiny + length,))
    if length < 0x100:
        return bytes((markers[0], length))
    if length < 0x1_0000:
        return struct.pack(">BH", markers[1], length)
    return struct.pack(">BI", markers[2], length)


def unpack(data: bytes) -> Any:
    """The one value that `data` holds.

    Raises:
        ProtocolBroken: truncated, trailing or unknown bytes.
    """
    reader = _Reader(data)
    try:
        value = reader.read(0)
    except (IndexError, struct.error, UnicodeDecodeError, TypeError) as problem:
        raise ProtocolBroken(f"bad PackStream: {problem}") from problem
    if reader.at != len(data):
        raise ProtocolBroken("bytes after the message")
    return value


_SIZES = {
    **dict.fromkeys((0xCC, 0xD0, 0xD4, 0xD8), (">B", 1)),
    **dict.fromkeys((0xCD, 0xD1, 0xD5, 0xD9), (">H", 2)),
    **dict.fromkeys((0xCE, 0xD2, 0xD6, 0xDA), (">I", 4)),
}
_NUMBERS = {0xC1: (">d", 8), 0xC8: (">b", 1), 0xC9: (">h", 2), 0xCA: (">i", 4), 0xCB: (">q", 8)}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


class _Reader:
    """A cursor over one message."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self._items = 0

    def read(self, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise ProtocolBroken("nested too deeply")
        marker = self.data[self.at]
        self.at += 1
        if marker < 0x80:
            return marker
        if marker >= 0xF0:
            return marker - 0x100
        if marker < 0xC0:
            return self._tiny(marker, depth)
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker in _NUMBERS:
            return self._number(*_NUMBERS[marker])
        if marker not in _SIZES:
            raise ProtocolBroken(f"unknown marker {marker:#x}")
        length = int(self._number(*_SIZES[marker]))
        if marker < 0xD0:
            return self._raw(length)
        if marker < 0xD4:
            return self._raw(length).decode("utf-8")
        return self._list(length, depth) if marker < 0xD8 else self._map(length, depth)

    def _tiny(self, marker: int, depth: int) -> Any:
        kind, length = marker & 0xF0, marker & 0x0F
        if kind == 0x80:
            return self._raw(length).decode("utf-8")
        if kind == 0x90:
            return self._list(length, depth)
        if kind == 0xA0:
            return self._map(length, depth)
        tag = self.data[self.at]
        self.at += 1
        return Structure(tag, tuple(self.read(depth + 1) for _ in range(length)))

    def _number(self, form: str, size: int) -> Any:
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += size
        return value

    def _raw(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self.data):
            raise ProtocolBroken("length beyond the message")
        raw = self.data[self.at : end]
        self.at = end
        return raw

    def _expect(self, items: int) -> None:
        """Refuse a container before it is built, when it cannot be here or is one too many."""
        if items > len(self.data) - self.at:
            raise ProtocolBroken("length beyond the message")
        self._items += items
        if self._items > VALUES_MAX:
            raise ProtocolBroken("too many values in a message")

    def _list(self, length: int, depth: int) -> list[Any]:
        self._expect(length)
        return [self.read(depth + 1) for _ in range(length)]

    def _map(self, length: int, depth: int) -> dict[str, Any]:
        self._expect(2 * length)
        result: dict[str, Any] = {}
        for _ in range(length):
            key = self.read(depth + 1)
            if not isinstance(key, str):
                raise ProtocolBroken("a map key is no string")
            result[key] = self.read(depth + 1)
        return result
