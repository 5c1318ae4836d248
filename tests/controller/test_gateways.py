"""The pod's gateways as the gatekeeper sees them: with relay processes and without."""

import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog
import trio

from controller.gateways import Gateways, Kind, Wish
from gateway import Limits, Route, Upstream

HERE = {Kind.RW: ("127.0.0.1", 0), Kind.RO: ("127.0.0.1", 0)}
BOTH_WAYS = pytest.mark.parametrize("workers", [0, 1])


@asynccontextmanager
async def running(workers: int, *, logs_sessions: bool = False) -> AsyncIterator[Gateways]:
    """Both gateways, RW open for a minute."""
    with trio.fail_after(20):
        limits = {kind: Limits() for kind in Kind}
        gateways = Gateways(limits, workers, logs_sessions=logs_sessions)
        gateways.serve_until(trio.current_time() + 60)
        async with trio.open_nursery() as nursery:
            await nursery.start(gateways.run, HERE)
            yield gateways
            nursery.cancel_scope.cancel()


async def _session(
    gateways: Gateways, listener: socket.socket
) -> tuple[trio.SocketStream, trio.SocketStream]:
    """A client and its upstream's side, after a question and its answer."""
    host, _, port = gateways.bound["rw"].rpartition(":")
    client = await trio.open_tcp_stream(host, int(port))
    await client.send_all(b"question")
    wishes = await gateways.wait_wishes()
    for wish in wishes:
        gateways.confirm(wish, trio.current_time())
    accepted, _ = await trio.socket.from_stdlib_socket(listener).accept()
    upstream = trio.SocketStream(accepted)
    assert await upstream.receive_some() == b"question"
    await upstream.send_all(b"answer")
    assert await client.receive_some() == b"answer"
    return client, upstream


@BOTH_WAYS
async def test_a_mark_is_told_after_the_cut(workers: int) -> None:
    """Whatever the relay runs in, a mark is told once the session of the old term has ended."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        main = Upstream("memgraph-0", 1, "127.0.0.1", listener.getsockname()[1])
        async with running(workers) as gateways:
            gateways.apply(Kind.RW, Route(1, (main,), ""))
            client, upstream = await _session(gateways, listener)
            told: list[int] = []
            gateways.apply(Kind.RW, Route(2, (), "the main is lost"))
            gateways.mark(5, told.append)
            while not told:
                await trio.sleep(0.005)
            assert told == [5]
            with trio.fail_after(1):
                assert await client.receive_some() == b""
            await client.aclose()
            await upstream.aclose()


@BOTH_WAYS
async def test_each_session_has_a_line(workers: int) -> None:
    """Whatever the relay runs in, the end of a session is logged: who, where to, how long, how much
    and why; and a route has an age."""
    with structlog.testing.capture_logs() as lines, socket.create_server(("127.0.0.1", 0)) as to:
        to.setblocking(False)
        main = Upstream("memgraph-0", 1, "127.0.0.1", to.getsockname()[1])
        async with running(workers, logs_sessions=True) as gateways:
            gateways.apply(Kind.RW, Route(3, (main,), ""))
            assert gateways.routed_at_s["rw"] <= trio.current_time()
            client, upstream = await _session(gateways, to)
            await client.aclose()
            await upstream.aclose()
            while not (said := [line for line in lines if line["event"] == "session"]):
                await trio.sleep(0.005)
    (line,) = said
    assert line.pop("duration_s") >= 0
    assert line == {
        "event": "session",
        "log_level": "info",
        "gateway": "rw",
        "peer": "127.0.0.1",
        "instance": "memgraph-0",
        "upstream": f"127.0.0.1:{main.port}",
        "term": 3,
        "reason": "client_closed",
        "bytes_up": 8,
        "bytes_down": 6,
    }


@BOTH_WAYS
async def test_what_is_switched_off_has_nothing_to_cut(workers: int) -> None:
    """Without a RW gateway routes and fences for it are no error, and a mark is told."""
    with trio.fail_after(20):
        gateways = Gateways({Kind.RO: Limits()}, workers)
        async with trio.open_nursery() as nursery:
            await nursery.start(gateways.run, HERE)
            assert gateways.apply(Kind.RW, Route(1, (), "")) == 0
            gateways.serve_until(0)
            told: list[int] = []
            gateways.mark(1, told.append)
            while not told:
                await trio.sleep(0.005)
            assert set(gateways.counters) == {"ro"}
            nursery.cancel_scope.cancel()


async def test_a_need_without_a_route_is_dropped() -> None:
    """A worker that asks about an incarnation which the route has left makes no wish."""
    gateways = Gateways({Kind.RW: Limits()}, 1)
    main = Upstream("memgraph-0", 2, "127.0.0.1", 7687)
    gateways.apply(Kind.RW, Route(1, (main,), ""))
    gateways._on_need(Kind.RW, "memgraph-0", 1)
    gateways._on_need(Kind.RW, "memgraph-0", 2)
    with trio.fail_after(1):
        assert await gateways.wait_wishes() == (Wish(Kind.RW, main),)


@BOTH_WAYS
async def test_it_listens_once_somebody_serves(workers: int) -> None:
    """A pod whose relay process does not serve says that it does not listen; it does again when
    the process has been replaced."""
    async with running(workers) as gateways:
        while not gateways.listening:
            await trio.sleep(0.005)
        assert set(gateways.listening) == {"rw", "ro"}
        if gateways.workers is None:
            return
        os.kill(gateways.workers.pids[0], signal.SIGKILL)
        while gateways.listening:
            await trio.sleep(0.001)
        while not gateways.listening:
            await trio.sleep(0.005)
