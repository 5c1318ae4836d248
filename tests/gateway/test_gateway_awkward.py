"""Clients and upstreams that behave badly, and what is left of them: nothing.

Numbers are noted before each story and after: descriptors, pipes in use, objects of sessions.
"""

import gc
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from gateway_world import World, descriptors, has_ended, is_reset, reset, world

from gateway.floor import KEEP_AFTER_S
from gateway.link import End
from gateway.reasons import Ending, Refusal
from gateway.route import Kind, Limits, ProxyProtocol
from gateway.session import Session

CROWD = 60


def alive(*kinds: type) -> int:
    """Objects of these types that are still there, without the collector's help."""
    return sum(type(thing) in kinds for thing in gc.get_objects())


@contextmanager
def nothing_is_left(w: World) -> Iterator[None]:
    """Afterwards the gateway has as many descriptors, sessions and pipes as before."""
    gc.collect()
    gc.disable()
    mover = w.desk.pump.mover
    before = descriptors() - len(w.clients), alive(Session, End)
    try:
        yield
        assert w.desk.is_empty
        w.pass_time(KEEP_AFTER_S)  # until then young sessions stand in a queue
        pooled = len(mover.pipes._free)
        assert mover.pipes.open_count == pooled, "a pipe is still held by somebody"
        mover.pipes.close()
        assert (descriptors() - len(w.clients), alive(Session, End)) == before
    finally:
        gc.enable()


def close_all(w: World) -> None:
    """The test's own ends, so that what is left is the gateway's."""
    for sock in w.clients:
        sock.close()
    w.clients.clear()
    for server in w.servers:
        for sock in server.accepted:
            sock.close()
        server.accepted.clear()


def test_a_port_scan_costs_nothing() -> None:
    """Clients that connect and leave at once, in order or by a reset, in every phase."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        dice = random.Random(3)
        with nothing_is_left(w):
            for number in range(CROWD):
                client = socket.create_connection(w.address)
                for _ in range(dice.randrange(4)):
                    w.desk.step(0.001)
                    if dice.random() < 0.5:
                        w.confirm_all()
                reset(client) if number % 2 else client.close()
            w.settle()
            w.confirm_all()
            w.until(lambda: w.desk.counters().accepted == CROWD)

            def are_gone() -> bool:
                w.confirm_all()
                server.poll()
                close_all(w)
                return w.desk.is_empty

            w.until(are_gone)
            close_all(w)


@pytest.mark.parametrize("mode", [ProxyProtocol.ACCEPT, ProxyProtocol.REQUIRE])
def test_slow_lorises_do_not_hold_places(mode: ProxyProtocol) -> None:
    """Clients that send their header byte by byte, for ever, are refused when the greeting's time
    is over, and an honest one is served in between."""
    limits = Limits(proxy_protocol=mode, greeting_s=5, connections_max=CROWD + 1)
    with world(Kind.RO, limits) as w:
        server = w.server()
        w.route(1, server.upstream())
        with nothing_is_left(w):
            slow = [w.client() for _ in range(CROWD)]
            for letter in b"PROXY":
                for client in slow:
                    client.send(bytes([letter]))
                w.settle(3)
                w.pass_time(0.9)
            honest = w.client()
            honest.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nhello")
            w.until(lambda: server.poll() and w.asked)
            w.confirm_all()
            assert w.receive(server.accepted[0], 5) == b"hello"
            w.pass_time(0.6)
            w.until(lambda: all(has_ended(client) for client in slow))
            assert w.desk.counters().refused == {Refusal.GREETING_TIMEOUT: CROWD}
            close_all(w)
            w.until(lambda: w.desk.is_empty)


def test_an_upstream_that_says_nothing() -> None:
    """It takes every connection and never answers: clients keep theirs, one that leaves is gone at
    once, and a new term resets those who wait for an answer."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        with nothing_is_left(w):
            clients = [w.joined(server)[0] for _ in range(CROWD)]
            for client in clients:
                client.send(b"question")
            w.settle()
            for leaving in clients[::2]:
                reset(leaving)
            w.until(lambda: w.desk.counters().active == CROWD // 2)
            w.route(2)
            assert all(is_reset(client) for client in clients[1::2])
            ended = w.desk.counters().ended
            assert ended == {Ending.CLIENT_ERROR: CROWD // 2, Ending.CUT: CROWD // 2}
            close_all(w)


def test_clients_that_never_read() -> None:
    """Their answers stay where they are; each that leaves gives back its pipe."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        with nothing_is_left(w):
            pairs = [w.joined(server) for _ in range(12)]
            for _, upstream in pairs:
                _fill(w, upstream)
            assert w.desk.pump.mover.pipes.open_count > 0
            for number, (client, _) in enumerate(pairs):
                reset(client) if number % 2 else client.close()
            w.until(lambda: w.desk.is_empty)
            close_all(w)


def _fill(w: World, upstream: socket.socket) -> None:
    """Until nothing more is taken."""
    still = 0
    while still < 20:
        try:
            upstream.send(bytes(1 << 18))
            still = 0
        except BlockingIOError:
            w.desk.step(0)
            still += 1


def test_many_sessions_come_and_go() -> None:
    """A thousand sessions, each with a question and an answer, some cut, some reset, some ended by
    either side: whole, and nothing is left of them."""
    with world(Kind.RO, Limits(connections_max=2000)) as w:
        server = w.server()
        w.route(1, server.upstream())
        dice = random.Random(5)
        with nothing_is_left(w):
            for turn in range(10):
                pairs = [w.joined(server) for _ in range(100)]
                w.settle(3)
                w.confirm_all()  # an answer may have been about sessions of the turn before
                for client, upstream in pairs:
                    client.send(b"question")
                    assert w.receive(upstream, 8) == b"question"
                    upstream.send(b"answer")
                    assert w.receive(client, 6) == b"answer"
                if turn % 3 == 2:
                    w.desk.floor.cut(tuple(w.desk.floor.sessions), Ending.CUT)
                else:
                    for pair in pairs:
                        ending = dice.choice(pair)
                        reset(ending) if dice.random() < 0.5 else ending.close()
                    w.settle()
                close_all(w)
                w.until(lambda: w.desk.is_empty)
            numbers = w.desk.counters()
            assert numbers.accepted == 1000 == sum(numbers.ended.values())
            assert (numbers.bytes_up, numbers.bytes_down) == (8000, 6000)
