"""Frames between stand-ins: a JSON head and raw bytes.

Promise: `receive` returns one whole frame, None at a clean end, or raises `WireBroken`.
"""

import json
import struct
from typing import Any

from controller.sandbox.memgraph.faults import Link

_HEADER = struct.Struct(">II")
FRAME_BYTES_MAX = 512 * 1024 * 1024  # a storage snapshot travels as one frame
RECEIVE_BYTES = 256 * 1024


class WireBroken(Exception):
    """The peer ended in the middle of a frame, or speaks something else."""


class Channel:
    """Frames over one link; one user at a time."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._buffer = bytearray()

    async def send(self, head: dict[str, Any], body: bytes = b"") -> None:
        raw = json.dumps(head, separators=(",", ":")).encode()
        await self._link.send_all(_HEADER.pack(len(raw), len(body)) + raw + body)

    async def receive(self) -> tuple[dict[str, Any], bytes] | None:
        header = await self._exactly(_HEADER.size)
        if header is None:
            return None
        head_size, body_size = _HEADER.unpack(header)
        if head_size + body_size > FRAME_BYTES_MAX:
            raise WireBroken("frame too large")
        head, body = await self._exactly(head_size), await self._exactly(body_size)
        if head is None or body is None:
            raise WireBroken("ended inside a frame")
        try:
            parsed = json.loads(head)
        except ValueError as problem:
            raise WireBroken("the head is no JSON") from problem
        if not isinstance(parsed, dict):
            raise WireBroken("the head is no object")
        return parsed, body

    async def _exactly(self, count: int) -> bytes | None:
        while len(self._buffer) < count:
            data = await self._link.receive_some(RECEIVE_BYTES)
            if not data:
                return None
            self._buffer += data
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def close_now(self) -> None:
        self._link.close_now()
