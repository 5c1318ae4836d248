"""HTTP to one API server on trio and h11: whole answers, and streams of lines.

Promise: one connection per request, none outlives its caller; every trouble below HTTP is NoAnswer.
It is not the product's own client on purpose: what a test of the product shows must not depend on
the node around it sharing its faults.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import attrs
import h11
import trio

from controller.sandbox.kubeconfig import access_of_kubeconfig

REQUEST_S = 20.0  # a LIST on a machine with much else to do
CHUNK_BYTES = 65_536


class NoAnswer(OSError):
    """The connection could not be made, or ended before the answer did."""


@attrs.frozen
class Answer:
    """A whole answer."""

    status: int
    body: Any


@attrs.frozen
class HttpClient:
    """Where the API server is and who asks. `tls` None: plain HTTP."""

    url: str
    token: str
    tls: ssl.SSLContext | None

    async def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> Answer:
        """The whole answer, whatever its status. Raises NoAnswer."""
        try:
            with trio.fail_after(REQUEST_S):
                response = await self._sent(method, path, query, body, content_type)
                async with response:
                    return Answer(response.status, json.loads(await response.read_all() or b"{}"))
        except trio.TooSlowError as error:
            raise NoAnswer(f"{method} {path}: no answer within {REQUEST_S:.0f} s") from error

    async def follow(self, path: str, query: Mapping[str, object]) -> Response:
        """An answer that comes line by line, for its owner to close. Raises NoAnswer."""
        try:
            with trio.fail_after(REQUEST_S):
                return await self._sent("GET", path, query, None, "")
        except trio.TooSlowError as error:
            raise NoAnswer(f"GET {path}: no answer within {REQUEST_S:.0f} s") from error

    async def _sent(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None,
        body: object,
        content_type: str,
    ) -> Response:
        """The answer, its head read. Cancellation: the connection is closed."""
        parts = urlsplit(self.url)
        data = b"" if body is None else json.dumps(body).encode()
        headers = [("host", parts.netloc), ("connection", "close"), ("accept", "application/json")]
        if self.token:
            headers.append(("authorization", f"Bearer {self.token}"))
        if data:
            headers += [("content-type", content_type), ("content-length", str(len(data)))]
        http = h11.Connection(h11.CLIENT)
        target = path + (f"?{urlencode(query)}" if query else "")
        stream = await self._connected(parts.hostname or "", parts.port or 443)
        async with AsyncExitStack() as undone:
            response = await undone.enter_async_context(Response(stream, http))
            out = http.send(h11.Request(method=method, target=target, headers=headers)) or b""
            out += (http.send(h11.Data(data=data)) or b"") if data else b""
            try:
                await stream.send_all(out + (http.send(h11.EndOfMessage()) or b""))
            except trio.BrokenResourceError as error:
                raise NoAnswer(str(error)) from error
            await response.read_head()
            undone.pop_all()  # from here on it is the caller's
        return response

    async def _connected(self, host: str, port: int) -> trio.abc.Stream:
        try:
            plain = await trio.open_tcp_stream(host, port)
        except OSError as error:
            raise NoAnswer(str(error)) from error
        if self.tls is None:
            return plain
        stream = trio.SSLStream(plain, self.tls, server_hostname=host, https_compatible=True)
        async with AsyncExitStack() as undone:
            undone.push_async_callback(trio.aclose_forcefully, plain)
            try:
                await stream.do_handshake()
            except trio.BrokenResourceError as error:
                raise NoAnswer(str(error)) from error
            undone.pop_all()  # from here on it is the caller's
        return stream


class Response:
    """An answer, owned by one task, which closes it."""

    def __init__(self, stream: trio.abc.Stream, http: h11.Connection) -> None:
        self.status = 0
        self._stream, self._http = stream, http
        self._rest = b""

    async def __aenter__(self) -> Response:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """The connection is gone; nothing is waited for."""
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._stream)

    async def read_head(self) -> None:
        """The status is known. Raises NoAnswer."""
        self.status = (await self._next_event()).status_code

    async def read_all(self) -> bytes:
        """The body. Raises NoAnswer."""
        data = b""
        while isinstance(chunk := await self._next_event(), h11.Data):
            data += bytes(chunk.data)
        return data

    async def read_line(self) -> bytes | None:
        """The next line, None at a proper end. Raises NoAnswer. Cancellation: nothing is lost."""
        while b"\n" not in self._rest:
            chunk = await self._next_event()
            if not isinstance(chunk, h11.Data):
                return None
            self._rest += bytes(chunk.data)
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    async def _next_event(self) -> Any:
        """The next event of h11. Raises NoAnswer."""
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(bytes(await self._stream.receive_some(CHUNK_BYTES)))
        except (h11.RemoteProtocolError, trio.BrokenResourceError) as error:
            raise NoAnswer(str(error)) from error
        if isinstance(event, h11.ConnectionClosed):
            raise NoAnswer("closed without an answer")
        return event


def client_of_kubeconfig(path: Path) -> HttpClient:
    """The server and the user of the present context; raises what access_of_kubeconfig raises."""
    access = access_of_kubeconfig(path)
    return HttpClient(access.server, access.token, access.tls)
