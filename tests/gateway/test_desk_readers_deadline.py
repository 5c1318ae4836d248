"""The deadline of readers: past it RO leaves who may have become main (S14)."""

import os
import signal
from collections.abc import Iterator

import pytest
import trio
from attrs import evolve
from gateway_world import Server, World, has_ended, try_recv, world
from test_workers import LATER_S, pod

from gateway.reasons import Ending
from gateway.route import Kind, Limits, Upstream


def eligible(server: Server) -> Upstream:
    """One that others may make the main."""
    return evolve(server.upstream("memgraph-1"), may_become_main=True)


def never_main(server: Server) -> Upstream:
    """One that nobody makes the main."""
    return server.upstream("memgraph-2")


@pytest.fixture(params=[None, 1 << 20], ids=["short way", "long way"])
def readers(request: pytest.FixtureRequest) -> Iterator[World]:
    """A RO gateway that was confirmed for ten seconds."""
    with world(Kind.RO, Limits(session_bytes_max=request.param)) as w:
        w.desk.serve_until(w.clock.now_s + 10)
        yield w


def test_no_byte_of_who_may_have_become_main(readers: World) -> None:
    """S14: an answer that waits in the kernel when the deadline passes is not forwarded, not even
    within a batch that began before."""
    w, server = readers, readers.server()
    w.route(1, eligible(server))
    client, upstream = w.joined(server)
    upstream.send(b"of a main")
    w.clock.now_s += 10
    w.desk.pump.step(0.1)  # past the check of the desk
    assert has_ended(client)
    assert w.desk.counters().bytes_down == 0
    assert w.desk.counters().ended == {Ending.SELF_FENCE: 1}


def test_readers_of_others_go_on(readers: World) -> None:
    """Who reads from an instance that cannot have become main notices nothing, and new clients are
    sent there alone, those that were on the way to the other included."""
    w, one, other = readers, readers.server(), readers.server()
    w.route(1, eligible(one), never_main(other))
    first, _ = w.joined(one)
    second, upstream = w.joined(other)
    w.client()
    w.until(lambda: one.poll() == 2)
    w.clock.now_s += 10
    w.until(lambda: has_ended(first))
    upstream.send(b"still here")
    assert w.receive(second, 10) == b"still here"
    w.until(lambda: other.poll() == 2)
    w.joined(other)
    assert one.poll() == 2
    assert set(w.desk.counters().sessions) == {"memgraph-2"}


def test_clients_wait_for_a_later_deadline(readers: World) -> None:
    """With nobody left to read from clients are held, and served once the head is confirmed."""
    w, server = readers, readers.server()
    w.route(1, eligible(server))
    w.pass_time(10)
    client = w.client()
    w.until(lambda: w.desk.counters().held == 1)
    w.settle()
    assert server.poll() == 0
    w.desk.serve_until(w.clock.now_s + 10)
    w.until(lambda: server.poll() == 1)
    w.until(lambda: w.asked)
    w.confirm_all()
    client.send(b"?")
    assert w.receive(server.accepted[0], 1) == b"?"


def test_a_late_confirmation_does_not_revive_readers(readers: World) -> None:
    """A deadline that is set after the old one has passed cuts first."""
    w, server = readers, readers.server()
    w.route(1, eligible(server))
    client, _ = w.joined(server)
    w.clock.now_s += 11
    w.desk.serve_until(w.clock.now_s + 10)
    assert has_ended(client)
    w.joined(server)


def test_a_route_tells_anew_who_may_become_main(readers: World) -> None:
    """A session goes on when its upstream becomes eligible, and meets the deadline from then on;
    when that has passed already it ends at once."""
    w, server = readers, readers.server()
    upstream = server.upstream("memgraph-1")
    w.route(1, upstream)
    first, _ = w.joined(server)
    w.route(1, evolve(upstream, may_become_main=True))
    assert try_recv(first) is None
    w.clock.now_s += 10
    w.until(lambda: has_ended(first))
    w.route(1, upstream)
    second, _ = w.joined(server)
    w.route(1, evolve(upstream, may_become_main=True))
    assert has_ended(second)


async def test_a_worker_leaves_who_may_have_become_main_by_itself() -> None:
    """A controller that says nothing any more does not keep its readers with an instance that
    others may make the main: the relay process ends them at the deadline it was told."""
    async with pod(kind=Kind.RO) as p:
        p.route(1, evolve(p.upstream, may_become_main=True))
        client, upstream = await p.joined()
        p.workers.serve_until(Kind.RO, trio.current_time() + 0.15)
        await p.until(lambda: try_recv(client) == b"")
        upstream.setblocking(False)
        await p.until(lambda: p.counters.ended.get("self_fence") == 1)
        p.workers.serve_until(Kind.RO, trio.current_time() + LATER_S)
        await p.joined()


async def test_readers_of_a_frozen_relay_get_no_late_answer() -> None:
    """F10 for readers: a relay process that was stopped, and goes on after the deadline, forwards
    nothing of an instance that may have become main."""
    async with pod(kind=Kind.RO) as p:
        p.route(1, evolve(p.upstream, may_become_main=True))
        client, upstream = await p.joined()
        until_s = trio.current_time() + 0.5
        p.workers.serve_until(Kind.RO, until_s)
        await p.numbers_came()  # so it has heard that
        os.kill(p.workers.pids[0], signal.SIGSTOP)
        upstream.send(b"of a main")
        await p.until(lambda: trio.current_time() >= until_s)
        os.kill(p.workers.pids[0], signal.SIGCONT)
        await p.until(lambda: try_recv(client) == b"")
        await p.until(lambda: p.counters.ended.get("self_fence") == 1)
        assert p.counters.bytes_down == 1
