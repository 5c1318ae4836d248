"""What a new route does to sessions, in every state they can be in."""

import pytest
from gateway_world import has_ended, is_reset, try_recv, world

from gateway.errors import StaleRoute
from gateway.reasons import Ending
from gateway.route import Kind, Route, Upstream


def test_bytes_go_both_ways() -> None:
    """A confirmed session carries bytes in both directions and counts them."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        client.send(b"question")
        assert w.receive(upstream, 8) == b"question"
        upstream.send(b"the answer")
        assert w.receive(client, 10) == b"the answer"
        numbers = w.desk.counters()
        assert (numbers.bytes_up, numbers.bytes_down) == (8, 10)
        assert (numbers.active, numbers.accepted, numbers.term) == (1, 1, 1)
        assert numbers.sessions == {"memgraph-0": 1}


def test_new_term_cuts_every_rw_session() -> None:
    """When apply of a new term returns, both sides of every RW session have been reset, even if
    the new main is the same process."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        pairs = [w.joined(server) for _ in range(5)]
        assert w.route(2, server.upstream()) == 5
        assert w.desk.counters().active == 0
        assert all(has_ended(client) and is_reset(upstream) for client, upstream in pairs)
        assert w.desk.counters().ended == {Ending.CUT: 5}
        assert w.desk.counters().cut == 5


def test_same_route_cuts_nobody() -> None:
    """The same term and incarnation again leaves RW sessions alone."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        assert w.route(1, server.upstream()) == 0
        client.send(b"still here")
        assert w.receive(upstream, 10) == b"still here"


def test_new_incarnation_cuts_within_the_term() -> None:
    """Another process of the same instance is another upstream, in the same term too."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream(incarnation=1))
        client, _ = w.joined(server)
        assert w.route(1, server.upstream(incarnation=2)) == 1
        assert has_ended(client)


def test_stale_route_changes_nothing() -> None:
    """A route of an older term raises, cuts nobody and is not followed."""
    with world() as w:
        server, other = w.server(), w.server()
        w.route(5, server.upstream())
        client, upstream = w.joined(server)
        with pytest.raises(StaleRoute):
            w.route(4, other.upstream("memgraph-1"))
        client.send(b"on")
        assert w.receive(upstream, 2) == b"on"
        assert w.desk.counters().term == 5
        w.joined(server)
        assert other.poll() == 0


def test_unread_bytes_do_not_outlive_the_cut() -> None:
    """What the kernel still held for the old upstream is discarded by the cut, not delivered."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        while True:  # the upstream does not read: gateway and kernel fill up
            try:
                client.send(b"x" * 65536)
            except BlockingIOError:
                if not w.desk.step(0.01):
                    break
        held_back = w.desk.counters().bytes_up
        w.route(2)
        got = 0
        while data := try_recv(upstream):
            got += len(data)
        assert got < held_back
        assert try_recv(upstream) == b""


def test_unconfirmed_session_starts_over_elsewhere() -> None:
    """A client whose dial was answered by the old main, but not relayed, is served by the new one
    and the old one never gets a byte of it."""
    with world() as w:
        old, new = w.server(), w.server()
        w.route(1, old.upstream())
        client = w.client()
        client.send(b"write")
        w.until(lambda: w.asked)
        w.asked.clear()
        assert w.route(2, new.upstream("memgraph-1")) == 0
        w.until(lambda: new.poll() and w.asked)
        w.confirm_all()
        assert w.receive(new.accepted[0], 5) == b"write"
        old.poll()
        assert [try_recv(sock) for sock in old.accepted] in ([b""], [])


def test_dial_in_flight_never_reaches_the_old_upstream() -> None:
    """A dial that has not been answered when the route changes is closed; its client is dialled
    for anew."""
    with world() as w:
        old, new = w.server(), w.server()
        w.route(1, old.upstream())
        client = w.client()
        client.send(b"write")
        w.desk.step(0.1)  # accepted and dialled; the answer is not looked at yet
        assert w.desk.counters().active == 1
        w.route(2, new.upstream("memgraph-1"))
        w.desk.confirm(old.upstream().key, w.clock.now_s)
        w.until(lambda: new.poll() and w.asked)
        w.confirm_all()
        assert w.receive(new.accepted[0], 5) == b"write"
        old.poll()
        assert all(try_recv(sock) == b"" for sock in old.accepted)


def test_ro_sessions_outlive_a_term() -> None:
    """RO: a new term alone cuts nobody; leaving the route does."""
    with world(Kind.RO) as w:
        one, two = w.server(), w.server()
        first, second = one.upstream("memgraph-1"), two.upstream("memgraph-2")
        w.route(1, first)
        client, _ = w.joined(one)
        w.route(1, first, second)
        other, _ = w.joined(two)
        assert w.route(2, first, second) == 0
        assert w.route(2, second) == 1
        assert has_ended(client)
        assert try_recv(other) is None


def test_closed_route_cuts_and_holds() -> None:
    """A route without upstreams cuts, and the gateway goes on to accept and hold."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, _ = w.joined(server)
        assert w.route(1) == 1
        assert has_ended(client)
        w.client()
        w.until(lambda: w.desk.counters().held == 1)
        w.route(1, server.upstream())
        w.until(lambda: w.asked)


def test_a_thousand_sessions_are_cut() -> None:
    """One apply ends a thousand sessions, each with a reset at the client."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        clients = [w.client() for _ in range(1000)]
        w.until(lambda: server.poll() == 1000)
        w.until(lambda: not w.desk.step(0.02))
        w.confirm_all()
        w.settle(5)
        assert w.desk.apply(Route(2, (), "main lost")) == 1000
        assert all(has_ended(client) for client in clients)


@pytest.mark.parametrize("host", ["", "memgraph-0.memgraph", "localhost"])
def test_an_upstream_is_an_address(host: str) -> None:
    """A name (or nothing, which would be ourselves) is refused where the value is made."""
    with pytest.raises(ValueError):
        Upstream("memgraph-0", 1, host, 7687)
