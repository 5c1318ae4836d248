"""A gateway that leaves: who is served goes on, who comes is turned away, and it ends in time."""

import errno
import os
import select
import signal
import socket
from functools import partial
from pathlib import Path

import pytest
import trio
from gateway_world import World, has_ended, is_reset, try_recv, world
from test_workers import pod

from controller.departure import Departure
from controller.gateways import STILL_TAKES_S, Gateways
from gateway import Kind, Limits, Route, Upstream, wire
from gateway.door import HANDSHAKES_S
from gateway.door import QUIET_S as QUIET_DOOR_S
from gateway.drain import QUIET_S
from gateway.floor import LAST_CALL_S
from gateway.reasons import Ending, Refusal

LISTEN = "0A"
SYN_SENT = 2


def refuses(address: tuple[str, int]) -> bool:
    """Whether nobody listens there. To connect would be a client, for whom the gateway stays."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return not any(row[1].endswith(f":{address[1]:04X}") and row[3] == LISTEN for row in rows)


def served(w: World) -> int:
    """Clients that are relayed or wait."""
    numbers = w.desk.counters()
    return numbers.active + numbers.held


def test_a_leaving_gateway_cuts_nobody_before_its_last_second() -> None:
    """A session between two requests goes on, and may end by itself, until the last second."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        other, _ = w.joined(server)
        w.desk.leave(w.clock.now_s + 10)
        for _ in range(8):
            w.pass_time(1)
            client.send(b"question")
            w.receive(upstream, 8)
            upstream.send(b"answer")
            assert w.receive(client, 6) == b"answer"
        assert refuses(w.address)
        other.close()
        upstream_of_other = server.accepted[1]
        w.until(lambda: has_ended(upstream_of_other))
        upstream_of_other.close()
        w.until(lambda: w.desk.counters().ended == {Ending.CLIENT_CLOSED: 1})
        assert not w.desk.is_empty


def test_the_last_second_of_a_leaving_gateway() -> None:
    """In the last second a session between two requests ends in order, one with an answer
    outstanding may have it, and is reset at the deadline; the gateway is empty then."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        quiet, _ = w.joined(server)
        busy, busy_upstream = w.joined(server)
        busy.send(b"question")
        w.receive(busy_upstream, 8)
        w.desk.leave(w.clock.now_s + 10)
        w.pass_time(10 - LAST_CALL_S)
        w.pass_time(QUIET_S)
        assert try_recv(quiet) == b""
        assert served(w) == 1
        w.pass_time(LAST_CALL_S)
        assert is_reset(busy)
        assert w.desk.is_empty
        assert w.desk.counters().ended == {Ending.SHUTDOWN: 2}
        assert w.desk.counters().cut == 0


def test_a_leaving_gateway_takes_clients_for_as_long_as_some_come() -> None:
    """Whoever sends clients may hear late that this gateway leaves: it listens until nobody came
    for a while, so that nobody is reset in the backlog of a closed listener."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        w.desk.leave(w.clock.now_s + 20)
        for _ in range(10):
            w.pass_time(QUIET_DOOR_S * 0.9)
            w.joined(server)
        w.clock.now_s += QUIET_DOOR_S
        late = w.client()  # in the backlog when the gateway looks whether somebody came
        w.desk.tick()
        assert w.desk.door.is_open
        assert w.desk.counters().accepted == 11
        assert try_recv(late) is None
        w.pass_time(QUIET_DOOR_S)
        w.pass_time(HANDSHAKES_S)
        assert refuses(w.address)


def test_a_leaving_gateway_takes_clients_for_half_of_its_time_at_most() -> None:
    """Clients that never stop coming do not keep it from leaving."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        w.desk.leave(w.clock.now_s + 10)
        for _ in range(11):
            w.pass_time(0.4)
            w.joined(server)
        w.client()  # is in the backlog at the end, and taken
        w.pass_time(0.5)
        w.pass_time(HANDSHAKES_S)
        assert refuses(w.address)
        assert w.desk.counters().accepted == 12


def knock(w: World) -> socket.socket:
    """A client whose connect does not wait."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(w.address)
    w.clients.append(sock)
    return sock


def has_an_answer(sock: socket.socket) -> bool:
    """Whether the kernel has answered its connect, by whatever."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != SYN_SENT


def test_nobody_is_reset_in_the_backlog_of_a_closing_listener(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever had an answer from the kernel is served, also one that came after the last look and
    before handshakes ended; whoever comes later has none, and is refused when it tries again. So
    no client gets a connection that is reset."""
    at_the_end, after_it = [], []
    with world() as w:
        begin_no_handshake, forget = wire.begin_no_handshake, w.desk.pump.forget

        def begin(listener: wire.Socket) -> None:
            at_the_end.append(knock(w))
            begin_no_handshake(listener)

        def forget_then_closed(listener: wire.Socket) -> None:
            after_it.append(knock(w))
            forget(listener)

        monkeypatch.setattr(wire, "begin_no_handshake", begin)
        monkeypatch.setattr(w.desk.pump, "forget", forget_then_closed)
        server = w.server()
        w.route(1, server.upstream())
        w.desk.leave(w.clock.now_s + 10)
        w.pass_time(QUIET_DOOR_S)
        (client,) = at_the_end
        assert has_an_answer(client)
        w.pass_time(HANDSHAKES_S)
        w.until(lambda: server.poll() == 1 and w.asked)
        w.confirm_all()
        client.send(b"served")
        assert w.receive(server.accepted[0], 6) == b"served"
        (late,) = after_it
        assert not has_an_answer(late)
        select.select([], [late], [], 10)
        assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


def test_where_the_kernel_filters_nothing_a_gateway_leaves_all_the_same() -> None:
    """Elsewhere than on Linux's own network stack there may be no such filter."""

    class Refusing:
        def setsockopt(self, level: int, option: int, value: bytes) -> None:
            raise OSError(errno.ENOPROTOOPT, "Protocol not available")

    wire.begin_no_handshake(Refusing())  # type: ignore[arg-type]


def test_who_waits_while_a_gateway_leaves() -> None:
    """Who was in the backlog or held when the gateway began to leave is served if a route comes in
    time, and refused as shutdown at the deadline."""
    with world() as w:
        w.client()
        w.until(lambda: w.desk.counters().held == 1)
        w.client()  # still in the backlog
        w.desk.leave(w.clock.now_s + 5)
        w.until(lambda: w.desk.counters().held == 2)
        server = w.server()
        w.route(1, server.upstream())
        w.until(lambda: server.poll() == 2)
        assert served(w) == 2
        w.pass_time(5)
        assert w.desk.is_empty
        assert w.desk.counters().refused == {Refusal.SHUTDOWN: 2}


def test_a_leaving_gateway_still_obeys_the_route() -> None:
    """A new term cuts at once, and the fence closes, also while sessions may end by themselves
    (S6)."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        first, _ = w.joined(server)
        w.desk.leave(w.clock.now_s + 100)
        assert w.route(2) == 1
        assert has_ended(first)
        assert w.desk.is_settled
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        w.desk.serve_until(w.clock.now_s + 2)
        w.desk.leave(w.clock.now_s + 100)
        w.clock.now_s += 2
        upstream.send(b"late")
        w.until(lambda: w.desk.is_empty)
        assert try_recv(client) == b""


async def test_a_worker_leaves_when_its_last_session_has_ended() -> None:
    """The listener closes at once, the session goes on, and when it has ended by itself the process
    is gone for good and its numbers are kept."""
    async with pod() as p:
        client, upstream = await p.joined()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(p.workers.leave, trio.current_time() + 20)
            await p.until(lambda: refuses(p.address))
            client.send(b"more")
            await p.until(lambda: try_recv(upstream) == b"more")
            upstream.send(b"yes")
            await p.until(lambda: try_recv(client) == b"yes")
            assert p.workers.pids
            client.close()
            await p.until(lambda: has_ended(upstream))
            upstream.close()
        assert not p.workers.pids
        assert p.counters.ended == {"client_closed": 1}
        assert not p.troubles


@pytest.mark.parametrize("count", [1, 2])
async def test_workers_leave_at_the_deadline(count: int) -> None:
    """A session that does not end is ended at the deadline, with every worker gone."""
    async with pod(count) as p:
        client, upstream = await p.joined()
        client.send(b"question")
        await p.until(lambda: try_recv(upstream) == b"question")
        await p.workers.leave(trio.current_time() + 0.2)
        assert not p.workers.pids
        assert is_reset(client)
        assert p.counters.ended == {"shutdown": 1}


async def test_a_worker_that_dies_while_leaving_is_not_replaced() -> None:
    """A crash ends the leaving: there is nothing left to wait for."""
    async with pod() as p:
        await p.joined()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(p.workers.leave, trio.current_time() + 20)
            await p.until(lambda: refuses(p.address))
            os.kill(p.workers.pids[0], signal.SIGKILL)
        assert not p.workers.pids
        assert p.workers.restarts == 0


async def test_a_worker_ignores_the_signals_of_its_group() -> None:
    """SIGTERM and SIGINT to a whole process group leave the relay to its parent."""
    async with pod() as p:
        client, upstream = await p.joined()
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(p.workers.pids[0], number)
        client.send(b"still?")
        await p.until(lambda: try_recv(upstream) == b"still?")
        assert p.workers.restarts == 0


@pytest.mark.parametrize("workers", [0, 1])
async def test_a_leaving_pod_is_not_ready_at_once_and_takes_clients_a_moment_longer(
    workers: int,
) -> None:
    """Nobody is sent here from the first moment on; who was sent before is still taken."""
    with trio.fail_after(30), socket.create_server(("127.0.0.1", 0)) as server:
        gateways = Gateways({Kind.RO: Limits()}, workers)
        upstream = Upstream("memgraph-1", 1, "127.0.0.1", server.getsockname()[1])
        async with trio.open_nursery() as nursery:
            await nursery.start(gateways.run, {Kind.RO: ("127.0.0.1", 0)})
            gateways.apply(Kind.RO, Route(1, (upstream,), ""))
            while not gateways.listening:
                await trio.sleep(0.005)
            host, _, port = gateways.bound["ro"].rpartition(":")
            address = (host, int(port))
            left = trio.Event()

            async def leave() -> None:
                await gateways.leave(3 * STILL_TAKES_S)
                left.set()

            nursery.start_soon(leave)
            await trio.testing.wait_all_tasks_blocked()
            assert gateways.listening == {}
            assert not refuses(address)
            await left.wait()
            assert refuses(address)
            nursery.cancel_scope.cancel()


async def _depart(signals: list[int], steps: list[str], drain: trio.Event) -> None:
    async def leave() -> None:
        steps.append("leave")
        await drain.wait()
        steps.append("left")

    async with trio.open_nursery() as nursery:
        departure = Departure(nursery.cancel_scope)
        nursery.start_soon(departure.watch_signals)
        nursery.start_soon(departure.carry_out, partial(steps.append, "step down"), leave)
        await trio.testing.wait_all_tasks_blocked()
        for number in signals:
            os.kill(os.getpid(), number)
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep_forever()


@pytest.mark.parametrize(
    ("signals", "is_drained", "expected"),
    [
        ([signal.SIGTERM], True, ["step down", "leave", "left"]),
        ([signal.SIGTERM, signal.SIGTERM], False, ["step down", "leave"]),
        ([signal.SIGTERM, signal.SIGINT], False, ["step down", "leave"]),
        ([signal.SIGINT], False, []),
    ],
    ids=["SIGTERM", "twice", "then SIGINT", "SIGINT"],
)
async def test_the_order_of_leaving(
    signals: list[int], is_drained: bool, expected: list[str]
) -> None:
    """SIGTERM: lead no more, drain, end. A second signal, or SIGINT, ends it at once."""
    steps: list[str] = []
    drain = trio.Event()
    if is_drained:
        drain.set()
    with trio.fail_after(10):
        await _depart(signals, steps, drain)
    assert steps == expected


async def test_a_signal_before_the_pod_runs_ends_it() -> None:
    """There is nothing to drain yet: the process ends at once."""
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            departure = Departure(nursery.cancel_scope)
            nursery.start_soon(departure.watch_signals)
            await trio.testing.wait_all_tasks_blocked()
            os.kill(os.getpid(), signal.SIGTERM)
            await trio.sleep_forever()
