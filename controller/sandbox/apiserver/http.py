"""One HTTP/1.1 connection of the server side: h11 for the protocol, trio for the bytes.

Promise: a request is handed out only when it is whole; an answer is sent whole or as a stream of
chunks; a peer that goes away ends in `PeerGone`, whatever the transport called it. Nothing here
knows of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs
import h11
import trio

RECEIVE_BYTES = 65_536
BODY_BYTES_MAX = 3 * 1024 * 1024  # a real API server refuses more with 413


class PeerGone(Exception):
    """The other side closed, reset, or spoke no HTTP. The connection is of no more use."""


@attrs.frozen
class Request:
    """A whole request. Header names are in lower case; of a repeated query key the last counts."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    too_large: bool = False


@attrs.frozen
class Response:
    """A whole answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Connection:
    """One accepted connection. Owned by the task that serves it."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._h11 = h11.Connection(h11.SERVER)

    async def receive_request(self) -> Request | None:
        """Return the next request, or None when the peer has finished properly.

        Raises:
            PeerGone: It left in the middle, or sent what is no HTTP.
        """
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
        if self._h11.our_state is not h11.IDLE:
            return None
        event = await self._next_event()
        if not isinstance(event, h11.Request):
            return None
        parts, body, size_bytes = urlsplit(event.target.decode("ascii")), bytearray(), 0
        while isinstance(chunk := await self._next_event(), h11.Data):
            size_bytes += len(chunk.data)
            if size_bytes <= BODY_BYTES_MAX:
                body += chunk.data
        return Request(
            method=event.method.decode("ascii"),
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.decode(): value.decode("latin-1") for name, value in event.headers},
            body=bytes(body),
            too_large=size_bytes > BODY_BYTES_MAX,
        )

    async def send(self, response: Response) -> None:
        """Send a whole answer.

        Raises:
            PeerGone: Nobody is there to read it.
        """
        headers = [
            ("content-type", response.content_type),
            ("content-length", str(len(response.body))),
            *response.headers,
        ]
        await self._send_events(
            h11.Response(status_code=response.status, headers=headers),
            h11.Data(data=response.body),
            h11.EndOfMessage(),
        )

    async def start_stream(self, content_type: str) -> None:
        """Begin an answer of unknown length.

        Raises:
            PeerGone: Nobody is there to read it.
        """
        headers = [("content-type", content_type), ("transfer-encoding", "chunked")]
        await self._send_events(h11.Response(status_code=200, headers=headers))

    async def send_chunk(self, data: bytes) -> None:
        """Send a piece of the stream at once. Raises PeerGone as `send` does."""
        await self._send_events(h11.Data(data=data))

    async def end_stream(self) -> None:
        """Finish the stream properly; the connection may serve another request."""
        await self._send_events(h11.EndOfMessage())

    async def wait_peer_gone(self) -> None:
        """Block until the peer closes its side. Early data of its next request is kept."""
        while True:
            try:
                data = await self._stream.receive_some(RECEIVE_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            if not data:
                return
            self._h11.receive_data(data)

    async def _next_event(self) -> object:
        try:
            while (event := self._h11.next_event()) is h11.NEED_DATA:
                if self._h11.they_are_waiting_for_100_continue:
                    await self._send_events(h11.InformationalResponse(status_code=100, headers=[]))
                self._h11.receive_data(await self._stream.receive_some(RECEIVE_BYTES))
        except (h11.RemoteProtocolError, trio.BrokenResourceError) as error:
            raise PeerGone(str(error)) from error
        return event

    async def _send_events(
        self, *events: h11.Response | h11.InformationalResponse | h11.Data | h11.EndOfMessage
    ) -> None:
        data = b"".join(self._h11.send(event) or b"" for event in events)
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise PeerGone(str(error)) from error
