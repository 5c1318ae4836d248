"""Server-sent events on a real socket: what comes, in which order, and what ends them."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import web_picture as p
from attrs import evolve, frozen
from test_openapi import check, full, healthy
from test_web_server import DEADLINE_S, get, serving

from controller.setting_values import Address
from controller.web import Snapshot, streams
from statemachine.cluster import Cluster
from statemachine.ids import Phase


@frozen
class Told:
    """One event."""

    event: str
    data: str
    number: str = ""


class Listener:
    """A client that reads a stream."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream, self._text = stream, ""
        self.head = ""

    async def _more(self) -> None:
        got = await self._stream.receive_some()
        assert got, "the stream ended"
        self._text += got.decode().replace("\r\n", "\n")

    async def begin(self) -> None:
        """Read the head of the answer."""
        while "\n\n" not in self._text:
            await self._more()
        self.head, _, self._text = self._text.partition("\n\n")

    async def next(self) -> Told:
        """The next event that has a name; comments and the sizes of chunks are passed over."""
        while True:
            while "\n\n" not in self._text:
                await self._more()
            block, _, self._text = self._text.partition("\n\n")
            named = (line for line in block.splitlines() if ": " in line and line[0] != ":")
            fields = dict(line.split(": ", 1) for line in named)
            if "event" in fields:
                return Told(fields["event"], fields["data"], fields.get("id", ""))

    async def until(self, holds: Callable[[Told], bool]) -> Told:
        """The first event for which it holds."""
        while True:
            told = await self.next()
            if holds(told):
                return told


@asynccontextmanager
async def listening(address: Address, path: str, *headers: str) -> AsyncIterator[Listener]:
    """One stream, its head read."""
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        lines = [f"GET {path} HTTP/1.1", "Host: x", *headers]
        await stream.send_all(("\r\n".join(lines) + "\r\n\r\n").encode())
        listener = Listener(stream)
        await listener.begin()
        yield listener


class Growing:
    """A source whose ledger is longer at every step."""

    def __init__(self, shown: int) -> None:
        self.shown = shown

    def __call__(self) -> Snapshot:
        ledger = p.history()
        lines, seq = ledger.lines[: self.shown], self.shown
        return evolve(
            healthy(), cluster=p.cluster(seq=seq), ledger_lines=lines, ledger_head=f"h{seq}"
        )


async def test_entries_come_as_they_are_written() -> None:
    """What is there already, then what comes; the id is the seq, the data the line as stored."""
    source, lines = Growing(4), p.history().lines
    async with (
        serving(source) as address,
        listening(address, "/api/v1/ledger/stream?since=2") as stream,
    ):
        assert "content-type: text/event-stream" in stream.head.lower()
        assert "no-store" in stream.head
        assert [await stream.next() for _ in range(2)] == [
            Told("entry", lines[n - 1].strip(), str(n)) for n in (3, 4)
        ]
        source.shown = 6
        assert (await stream.next()).number == "5"
        assert json.loads((await stream.next()).data)["seq"] == 6


async def test_a_browser_goes_on_where_it_was_cut() -> None:
    """`Last-Event-ID` wins over `since`; an entry is told neither twice nor never."""
    async with (
        serving(Growing(6)) as address,
        listening(address, "/api/v1/ledger/stream?since=0", "Last-Event-ID: 5") as stream,
    ):
        assert (await stream.next()).number == "6"


async def test_nonsense_is_refused_before_a_stream_begins() -> None:
    """As without a stream."""
    async with serving(healthy) as address:
        answer = await get(address, "/api/v1/ledger/stream?since=-3")
        assert answer.status == 400
        check("/api/v1/ledger/stream", answer)


class Switch:
    """A source that a test changes; its clock goes on so that parts are rendered anew."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def __call__(self) -> Snapshot:
        return evolve(self.snapshot, now_s=p.NOW_S + trio.current_time() % 1000)


async def test_the_page_gets_all_parts_then_those_that_change() -> None:
    """A client that connects has everything; then only what became another is sent, and a sentence
    for a reader's voice when the state changes."""
    source = Switch(healthy())
    async with (
        serving(source) as address,
        listening(address, "/api/v1/page/stream") as stream,
    ):
        first = [await stream.next() for _ in range(9)]
        ids = {json.loads(told.data)["id"] for told in first}
        assert ids >= {"headline", "instances", "gateways", "diagram", "timeline", "problems"}
        said = await stream.until(lambda told: told.event == "said")
        assert json.loads(said.data) == "OPERATIONAL: memgraph-1 is the main; writes are open."
        source.snapshot = evolve(
            source.snapshot, cluster=p.cluster(phase=Phase.DEGRADED, sync=frozenset({p.M1}))
        )
        told = await stream.until(
            lambda told: told.event == "part" and json.loads(told.data)["id"] == "headline"
        )
        assert "DEGRADED" in told.data
        said = await stream.until(lambda told: told.event == "said")
        assert json.loads(said.data).startswith("DEGRADED")


async def test_a_silent_pod_still_beats() -> None:
    """When nothing happens the client hears that the pod is there, and when that was."""
    async with (
        serving(lambda: p.snapshot(cluster=Cluster())) as address,
        listening(address, "/api/v1/page/stream") as stream,
    ):
        for _ in range(2):
            assert (await stream.until(lambda told: told.event == "beat")).data.endswith('UTC"')


async def test_streams_are_counted_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """One above the limit is told so, and asked to come again; one that left makes room."""
    monkeypatch.setattr(streams, "STREAMS_MAX", 2)
    path = "/api/v1/page/stream"
    async with serving(full) as address:
        async with listening(address, path), listening(address, "/api/v1/ledger/stream"):
            answer = await get(address, path)
            assert answer.status == 503
            assert "retry-after" in answer.headers
            check(path, answer)
        with trio.fail_after(DEADLINE_S):
            while True:
                async with listening(address, path) as again:
                    if " 200 " in again.head:
                        break
                await trio.sleep(0.02)


async def test_the_server_ends_while_streams_are_open() -> None:
    """An exit does not wait for who listens: the same deadline as without streams."""
    with trio.fail_after(DEADLINE_S):
        async with serving(full) as address:
            stream = await trio.open_tcp_stream(address.host, address.port)
            request = b"GET /api/v1/page/stream HTTP/1.1\r\nHost: x\r\n\r\n"
            await stream.send_all(request)
            assert await stream.receive_some()
        await stream.aclose()


async def test_who_does_not_read_holds_nobody_up() -> None:
    """A client that never reads is cut after a moment, and an exit meanwhile does not wait for it
    for longer: sends that have begun cannot be cancelled."""
    lines = tuple(f'{{"seq":{n},"text":"{"x" * 16_000}"}}\n' for n in range(1, 1025))
    stuck = evolve(healthy(), cluster=p.cluster(seq=len(lines)), ledger_lines=lines)
    looked_s = [float("inf")]

    def source() -> Snapshot:
        looked_s[0] = trio.current_time()
        return stuck

    with trio.fail_after(3 * DEADLINE_S):
        async with serving(source) as address:
            stream = await trio.open_tcp_stream(address.host, address.port)
            request = b"GET /api/v1/ledger/stream HTTP/1.1\r\nHost: x\r\n\r\n"
            await stream.send_all(request)
            while trio.current_time() - looked_s[0] < 3 * streams.LOOK_S:
                await trio.sleep(0.02)  # until the buffers on the way are full
            assert (await get(address, "/livez")).status == 200
            began_s = trio.current_time()
        assert trio.current_time() - began_s < DEADLINE_S
        await stream.aclose()
