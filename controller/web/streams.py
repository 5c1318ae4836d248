"""Server-sent events: the ledger as it grows, and the live page's parts as they change.

Promise: a stream begins with what the client has not seen and goes on until it leaves; a slow or
silent client holds nobody up, and there are never more than STREAMS_MAX. What a newcomer gets
wrong: streams look at pictures again and again; nothing in the loop knows of them.
"""

import json
from collections.abc import Awaitable, Callable, Iterator

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from controller.web.page import LivePage
from controller.web.snapshot import SnapshotSource

STREAMS_MAX = 32  # each is a connection and some tens of KiB
LOOK_S = 0.25
BEAT_S = 2.0  # so that either side notices that the other is gone
RETRY_MS = 1000
LINES_MAX = 128  # of the ledger, between two looks
UNAVAILABLE, BAD_REQUEST = 503, 400
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Push = Callable[[str], Awaitable[None]]
Feed = Callable[[Push], Awaitable[None]]


def message(event: str, data: object, number: int | None = None) -> str:
    """One event; the data stand on one line."""
    place = "" if number is None else f"id: {number}\n"
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f"{place}event: {event}\ndata: {text}\n\n"


class EventStream(Response):
    """An answer that goes on until the client leaves or the server ends."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As every response."""

        async def push(text: str) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        headers = self.raw_headers
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_left, receive, nursery.cancel_scope)
            await push(f"retry: {RETRY_MS}\n\n")
            await self._feed(push)


async def _until_left(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


class Streams:
    """Both kinds share one limit."""

    def __init__(self, source: SnapshotSource, page: LivePage) -> None:
        self._source, self._page = source, page
        self._open = 0

    async def ledger(self, request: Request) -> Response:
        """`/api/v1/ledger/stream?since=N`: entries as stored; the seq is the event's id, so that a
        browser goes on by itself where it was cut."""
        asked = request.headers.get("last-event-id") or request.query_params.get("since", "0")
        if not asked.isascii() or not asked.isdecimal():
            return JSONResponse({"error": "since wants a position in the ledger"}, BAD_REQUEST)
        since = int(asked[:18])
        return self._answer(lambda push: self._entries(since, push))

    async def page(self, request: Request) -> Response:
        """`/api/v1/page/stream`: rendered parts of the live page."""
        return self._answer(self._parts)

    def _answer(self, feed: Feed) -> Response:
        if self._open >= STREAMS_MAX:
            error = f"{STREAMS_MAX} streams are open already"
            return JSONResponse({"error": error}, UNAVAILABLE, {"Retry-After": "5"})

        async def counted(push: Push) -> None:
            self._open += 1
            try:
                await feed(push)
            finally:
                self._open -= 1

        return EventStream(counted)

    async def _entries(self, since: int, push: Push) -> None:
        beat_s = trio.current_time() + BEAT_S
        while True:
            for number, line in self._after(since):
                since = number
                await push(message("entry", line.strip(), number))
            if trio.current_time() >= beat_s:
                beat_s = trio.current_time() + BEAT_S
                await push(": still here\n\n")
            await trio.sleep(LOOK_S)

    def _after(self, since: int) -> Iterator[tuple[int, str]]:
        """The entries after this one; those that moved to archives are not told again."""
        snapshot = self._source()
        lines, seq = snapshot.ledger_lines, int(snapshot.cluster.seq)
        first = seq - len(lines) + 1
        begin = max(0, since + 1 - first)
        for offset, line in enumerate(lines[begin : begin + LINES_MAX]):
            yield first + begin + offset, line

    async def _parts(self, push: Push) -> None:
        shown: dict[str, str] = {}
        said, beat_s = "", 0.0
        while True:
            parts = self._page.parts()
            for name, html in parts.html.items():
                if shown.get(name) != html:
                    shown[name] = html
                    await push(message("part", {"id": name, "html": html}))
            if parts.said != said:
                said = parts.said
                await push(message("said", json.dumps(said)))
            if trio.current_time() >= beat_s:
                beat_s = trio.current_time() + BEAT_S
                await push(message("beat", json.dumps(parts.at)))
            await trio.sleep(LOOK_S)
