"""A small HTTP client for the contract suite: trio and h11, one connection per request.

It is not the product's client on purpose: what it shows does not depend on how that one behaves.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import attrs
import h11
import trio

from controller.sandbox.kubeconfig import access_of_kubeconfig


class NoAnswer(Exception):
    """The connection ended before the answer did."""


@attrs.frozen
class Reply:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """Return the body."""
        return json.loads(self.text)

    @property
    def reason(self) -> str:
        """Return the reason of a Status body."""
        return str(self.json.get("reason", ""))

    @property
    def revision(self) -> str:
        """Return metadata.resourceVersion."""
        return str(self.json["metadata"]["resourceVersion"])


class Watch:
    """An established watch."""

    def __init__(self, stream: trio.abc.Stream, http: h11.Connection) -> None:
        self._stream, self._http, self._text = stream, http, ""

    async def next_event(self) -> dict[str, Any] | None:
        """Return the next event, None at a proper end of the stream."""
        while "\n" not in self._text:
            event = await next_event(self._stream, self._http)
            if isinstance(event, h11.EndOfMessage):
                return None
            assert isinstance(event, h11.Data)
            self._text += bytes(event.data).decode()
        line, _, self._text = self._text.partition("\n")
        parsed: dict[str, Any] = json.loads(line)
        return parsed

    async def next_names(self, count: int) -> list[tuple[str, str]]:
        """Return (type, name) of the next events."""
        names = []
        for _ in range(count):
            event = await self.next_event()
            assert event is not None
            names.append((event["type"], event["object"]["metadata"]["name"]))
        return names


async def next_event(stream: trio.abc.Stream, http: h11.Connection) -> Any:
    """Return the next h11 event.

    Raises:
        NoAnswer: The server closed too early.
    """
    try:
        while (event := http.next_event()) is h11.NEED_DATA:
            http.receive_data(await stream.receive_some(65_536))
    except (h11.RemoteProtocolError, trio.BrokenResourceError) as error:
        raise NoAnswer(str(error)) from error
    if isinstance(event, h11.ConnectionClosed):
        raise NoAnswer("closed without an answer")
    return event


@attrs.frozen
class Api:
    """Where the server is and who asks."""

    url: str
    token: str = ""
    tls: ssl.SSLContext | None = None

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: dict[str, object] | None = None,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Ask once on a fresh connection."""
        async with self._open(method, path, body, query, content_type, headers) as (stream, http):
            response = await next_event(stream, http)
            data = b""
            while isinstance(chunk := await next_event(stream, http), h11.Data):
                data += bytes(chunk.data)
        names = {name.decode(): value.decode() for name, value in response.headers}
        return Reply(response.status_code, names, data.decode())

    @asynccontextmanager
    async def watch(self, path: str, **query: object) -> AsyncIterator[Watch]:
        """Open a watch; it must be answered with 200."""
        query = {"watch": "true", **query}
        async with self._open("GET", path, None, query, "", None) as (stream, http):
            response = await next_event(stream, http)
            assert response.status_code == 200
            yield Watch(stream, http)

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        body: object,
        query: dict[str, object] | None,
        content_type: str,
        headers: dict[str, str] | None,
    ) -> AsyncIterator[tuple[trio.abc.Stream, h11.Connection]]:
        parts = urlsplit(self.url)
        stream: trio.abc.Stream = await trio.open_tcp_stream(parts.hostname, parts.port)
        if self.tls is not None:
            stream = trio.SSLStream(
                stream, self.tls, server_hostname=parts.hostname, https_compatible=True
            )
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        data = b"" if body is None else data
        lines = {"host": parts.netloc, "connection": "close", **(headers or {})}
        if content_type:
            lines["content-type"] = content_type
        if self.token:
            lines["authorization"] = f"Bearer {self.token}"
        if data or method in ("POST", "PUT", "PATCH"):
            lines["content-length"] = str(len(data))
        http = h11.Connection(h11.CLIENT)
        target = path + (f"?{urlencode(query)}" if query else "")
        async with stream:
            out = http.send(h11.Request(method=method, target=target, headers=list(lines.items())))
            out = (out or b"") + (http.send(h11.Data(data=data)) or b"")
            await stream.send_all(out + (http.send(h11.EndOfMessage()) or b""))
            yield stream, http


def api_of_kubeconfig(path: Path) -> Api:
    """Return the server that the present context of a kubeconfig names."""
    access = access_of_kubeconfig(path)
    return Api(access.server, access.token, access.tls)


def real_kubeconfig() -> Path | None:
    """Return the kubeconfig of a real API server that the contract is to be run against."""
    given = os.environ.get("MEMGRAPH_CONTROLLER_KUBECONFIG", "")
    return Path(given) if given else None
