"""Clients that wait: for a route, for a dial, for the verifier; and who is turned away, why."""

import socket
from functools import partial

import pytest
from gateway_world import World, closed_port, reset, try_recv, world

from gateway.reasons import Refusal
from gateway.route import Kind, Limits, Upstream


def _down(instance: str = "memgraph-0") -> Upstream:
    return Upstream(instance, 1, "127.0.0.1", closed_port())


def _has_held(w: World, clients: int) -> bool:
    return w.desk.counters().held == clients


def _has_failed(w: World, dials: int) -> bool:
    return w.desk.counters().dial_failures >= dials


def test_held_clients_are_released_in_order() -> None:
    """Clients held for a route are dialled for in the order in which they came."""
    with world() as w:
        server = w.server()
        clients = []
        for number in range(20):
            clients.append(w.client())
            clients[-1].send(bytes([number]))
            w.until(partial(_has_held, w, number + 1))
        w.route(1, server.upstream())
        w.until(lambda: server.poll() == 20)
        w.until(lambda: not w.desk.step(0.02))
        w.confirm_all()
        assert [w.receive(sock, 1)[0] for sock in server.accepted] == list(range(20))


def test_hold_ends_with_a_reason() -> None:
    """A client held for hold_s without a route is refused as no_route, not before."""
    with world(limits=Limits(hold_s=30)) as w:
        client = w.client()
        w.until(lambda: w.desk.counters().held == 1)
        w.pass_time(29.9)
        assert w.desk.counters().held == 1
        w.pass_time(0.2)
        assert try_recv(client) == b""
        assert w.desk.counters().refused == {Refusal.NO_ROUTE: 1}


def test_hold_is_bounded() -> None:
    """One more than hold_max is refused as hold_full; those who wait stay."""
    with world(limits=Limits(hold_max=3)) as w:
        for _ in range(5):
            w.client()
        w.until(lambda: w.desk.counters().accepted == 5)
        assert w.desk.counters().held == 3
        assert w.desk.counters().refused == {Refusal.HOLD_FULL: 2}


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_held_client_that_leaves_is_noticed(how: str) -> None:
    """Who hangs up or resets while held gives back his place at once, counted as client_left."""
    with world() as w:
        client = w.client()
        w.until(lambda: w.desk.counters().held == 1)
        if how == "close":
            client.close()
        else:
            reset(client)
        w.until(lambda: w.desk.counters().held == 0)
        assert w.desk.counters().refused == {Refusal.CLIENT_LEFT: 1}


def test_a_client_that_asked_and_half_closed_is_kept() -> None:
    """A held client that sent its request and ended its side still gets its answer."""
    with world() as w:
        server = w.server()
        client = w.client()
        client.send(b"bye")
        client.shutdown(1)
        w.until(lambda: w.desk.counters().held == 1)
        w.settle()
        w.route(1, server.upstream())
        w.until(lambda: server.poll() and w.asked)
        w.confirm_all()
        assert w.receive(server.accepted[0], 3) == b"bye"
        w.until(lambda: try_recv(server.accepted[0]) == b"")
        server.accepted[0].send(b"answer")
        server.accepted[0].close()
        assert w.receive(client, 6) == b"answer"


def test_unconfirmed_moves_no_byte() -> None:
    """Between dial and confirmation nothing passes, in neither direction."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client = w.client()
        client.send(b"early")
        w.until(lambda: server.poll() and w.asked)
        server.accepted[0].send(b"early, too")
        w.settle()
        assert try_recv(server.accepted[0]) is None
        assert try_recv(client) is None
        w.confirm_all()
        assert w.receive(server.accepted[0], 5) == b"early"
        assert w.receive(client, 10) == b"early, too"


def test_an_older_answer_does_not_release() -> None:
    """A question sent before the session was dialled proves nothing about it; nor does the answer
    of another incarnation."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        asked_at_s = w.clock.now_s
        w.clock.now_s += 1
        client = w.client()
        client.send(b"early")
        w.until(lambda: server.poll() and w.asked)
        w.desk.confirm(server.upstream().key, asked_at_s)
        w.desk.confirm(server.upstream(incarnation=2).key, w.clock.now_s)
        w.settle()
        assert try_recv(server.accepted[0]) is None
        w.confirm_all()
        assert w.receive(server.accepted[0], 5) == b"early"


def test_the_verifier_is_asked_again() -> None:
    """A lost question is repeated; without any answer the client is refused as unconfirmed."""
    with world(limits=Limits(hold_s=30)) as w:
        server = w.server()
        w.route(1, server.upstream())
        w.client()
        w.until(lambda: w.asked)
        w.asked.clear()
        w.pass_time(1)
        assert w.asked == [server.upstream()]
        w.pass_time(30)
        assert w.desk.counters().refused == {Refusal.UNCONFIRMED: 1}


def test_a_batch_asks_once() -> None:
    """Many sessions that connect at one time make one question."""
    with world() as w:
        server = w.server()
        for _ in range(50):
            w.client()
        w.until(lambda: w.desk.counters().held == 50)
        w.route(1, server.upstream())
        w.until(lambda: server.poll() == 50)
        w.until(lambda: not w.desk.step(0.02))
        assert 1 <= len(w.asked) < 5


def test_an_upstream_that_breaks_unconfirmed_is_dialled_anew() -> None:
    """When the dialled side dies before it was used, the client does not notice."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client = w.client()
        client.send(b"once")
        w.until(lambda: server.poll() and w.asked)
        w.asked.clear()
        reset(server.accepted[0])
        w.until(lambda: w.desk.counters().held == 1)
        w.pass_time(0.06)
        w.until(lambda: server.poll() == 2 and w.asked)
        w.confirm_all()
        assert w.receive(server.accepted[1], 4) == b"once"


def test_rw_dials_again_until_the_main_listens() -> None:
    """A main that refuses is tried every 50 ms, by one client only, and then serves all."""
    with world() as w:
        server = w.server()
        upstream = server.upstream()
        server.listener.close()
        w.route(1, upstream)
        for _ in range(10):
            w.client()
        w.until(lambda: w.desk.counters().held == 10)
        before = w.desk.counters().dial_failures
        for tick in range(1, 4):
            w.pass_time(0.051)
            w.until(partial(_has_failed, w, before + tick))
            w.settle(5)
        assert w.desk.counters().dial_failures == before + 3
        server.listener = socket.create_server(("127.0.0.1", server.port))
        server.listener.setblocking(False)
        w.pass_time(0.051)
        w.until(lambda: server.poll() == 10)
        w.until(lambda: not w.desk.step(0.02))
        w.confirm_all()
        assert w.desk.counters().active == 10


def test_a_dead_main_ends_the_hold() -> None:
    """When no dial succeeds within hold_s the client is refused as dial_failed."""
    with world(limits=Limits(hold_s=5)) as w:
        w.route(1, _down())
        w.client()
        w.until(lambda: w.desk.counters().dial_failures)
        w.pass_time(5)
        assert w.desk.counters().refused == {Refusal.DIAL_FAILED: 1}


def test_a_silent_upstream_times_out() -> None:
    """A dial that gets no answer is given up after connect_timeout_s and counted."""
    with world(Kind.RO, Limits(connect_timeout_s=2)) as w:
        server = w.server()
        first = w.silent_server().upstream("memgraph-1")
        w.route(1, first, server.upstream("memgraph-2"))
        client = w.client()
        client.send(b"read")
        w.until(lambda: w.desk.counters().active == 1)
        w.settle()
        w.pass_time(2.01)
        assert w.desk.counters().dial_failures == 1
        w.until(lambda: server.poll() and w.asked)
        w.confirm_all()
        assert w.receive(server.accepted[0], 4) == b"read"


def test_ro_takes_the_next_within_one_attempt() -> None:
    """A replica that refuses costs a client no more than a dial, and the next client nothing."""
    with world(Kind.RO) as w:
        server = w.server()
        w.route(1, _down("memgraph-1"), server.upstream("memgraph-2"))
        for _ in range(6):
            client, upstream = w.joined(server)
            client.send(b"read")
            assert w.receive(upstream, 4) == b"read"
        assert w.desk.counters().dial_failures == 1
        assert w.desk.counters().refused == {}


def test_ro_balances_by_fewest_sessions() -> None:
    """Clients spread evenly, and a replica that lost sessions gets the next ones."""
    with world(Kind.RO) as w:
        servers = [w.server() for _ in range(3)]
        names = ["memgraph-1", "memgraph-2", "memgraph-3"]
        w.route(1, *(s.upstream(n) for s, n in zip(servers, names, strict=True)))
        clients = [w.client() for _ in range(9)]
        w.until(lambda: sum(s.poll() for s in servers) == 9)
        w.until(lambda: not w.desk.step(0.02))
        w.confirm_all()
        assert w.desk.counters().sessions == dict.fromkeys(names, 3)
        for sock in servers[1].accepted:
            reset(sock)
        w.until(lambda: w.desk.counters().sessions["memgraph-2"] == 0)
        w.client()
        w.until(lambda: servers[1].poll() == 4)
        assert len(clients) == 9


def test_exactly_n_of_2n_are_served() -> None:
    """Of twice connections_max parallel clients exactly connections_max are served, the others
    are refused as max_connections, and a place that is free again is given away."""
    with world(limits=Limits(connections_max=50)) as w:
        server = w.server()
        w.route(1, server.upstream())
        clients = [w.client() for _ in range(100)]
        w.until(lambda: w.desk.counters().accepted == 100 and server.poll() == 50)
        w.until(lambda: not w.desk.step(0.02))
        w.confirm_all()
        numbers = w.desk.counters()
        assert numbers.active == 50
        assert numbers.refused == {Refusal.MAX_CONNECTIONS: 50}
        assert sum(try_recv(client) == b"" for client in clients) == 50
        reset(server.accepted[0])
        w.until(lambda: w.desk.counters().active == 49)
        w.joined(server)
        assert w.desk.counters().active == 50


@pytest.mark.parametrize("who", ["upstream", "client"])
def test_an_upstream_that_ends_a_session_is_asked_about(who: str) -> None:
    """A session that its upstream broke makes a question; one that its client broke does not."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        reset(upstream if who == "upstream" else client)
        w.until(lambda: w.desk.counters().active == 0)
        w.settle(2)
        assert w.asked == ([server.upstream()] if who == "upstream" else [])


def test_who_comes_later_does_not_overtake() -> None:
    """While others wait for an upstream that failed, a new client does not take their trial."""
    with world() as w:
        silent = w.silent_server()
        w.route(1, silent.upstream())
        target = w.desk.hall.targets.choose(w.clock.now_s)
        assert target is not None
        w.desk.hall.targets.failed(target, w.clock.now_s)
        w.client()
        w.until(lambda: w.desk.counters().held == 1)
        (first,) = w.desk.hall.held
        w.clock.now_s += 1
        w.client()
        w.until(lambda: w.desk.counters().accepted == 2)
        assert w.desk.counters().held == 2
        w.desk.tick()
        (left,) = w.desk.hall.held
        assert left is not first
