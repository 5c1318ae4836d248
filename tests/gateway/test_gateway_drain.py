"""Hold and drain by route, limits by address, weights and slow starts of readers."""

import random

import pytest
from gateway_world import closed_port, has_ended, is_reset, try_recv, world

from gateway import Route
from gateway.counters import INSTANCES_MAX, TERMS_MAX, Relayed, together
from gateway.drain import QUIET_S
from gateway.histogram import Distribution, Histogram
from gateway.rates import ADDRESSES_MAX, Rates
from gateway.reasons import Ending, Refusal
from gateway.route import Kind, Limits, Upstream
from gateway.targets import SLOW_START_S, Target, Targets


def test_a_drain_ends_the_quiet_first() -> None:
    """A session between two requests is ended as soon as it was quiet, in order; one with an
    answer outstanding goes on until it has it; then the route is settled."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        quiet, quiet_upstream = w.joined(server)
        busy, busy_upstream = w.joined(server)
        for client, upstream in ((quiet, quiet_upstream), (busy, busy_upstream)):
            client.send(b"question")
            w.receive(upstream, 8)
        quiet_upstream.send(b"answer")
        w.receive(quiet, 6)
        w.desk.apply(Route(2, (), "switchover", drain_until_s=w.clock.now_s + 10))
        assert not w.desk.is_settled
        w.pass_time(QUIET_S)
        assert try_recv(quiet) == b""
        assert is_reset(quiet_upstream)
        assert w.desk.counters().ended == {Ending.DRAINED: 1}
        w.pass_time(5)
        assert not w.desk.is_settled
        busy_upstream.send(b"answer")
        assert w.receive(busy, 6) == b"answer"
        w.pass_time(QUIET_S)
        w.pass_time(QUIET_S)
        assert has_ended(busy)
        assert w.desk.is_settled
        assert w.desk.counters().ended == {Ending.DRAINED: 2}
        assert w.desk.counters().cut == 2


def test_a_drain_ends_at_its_deadline() -> None:
    """Who is still busy at the deadline is cut, with a reset."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        client.send(b"question")
        w.receive(upstream, 8)
        w.desk.apply(Route(2, (), "switchover", drain_until_s=w.clock.now_s + 1))
        w.pass_time(0.99)
        assert not w.desk.is_settled
        w.pass_time(0.01)
        assert w.desk.is_settled
        assert is_reset(client)
        assert w.desk.counters().ended == {Ending.CUT: 1}


def test_a_route_without_drain_cuts_what_is_draining() -> None:
    """When the planned change becomes a failover, the drain is over at once."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        client.send(b"question")
        w.receive(upstream, 8)
        w.desk.apply(Route(2, (), "switchover", drain_until_s=w.clock.now_s + 10))
        assert w.route(3) == 1
        assert w.desk.is_settled
        assert is_reset(client)


def test_new_clients_wait_while_a_route_is_held() -> None:
    """Held: the sessions of the route go on, new clients wait, and are dialled for in order when
    the hold is over."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        w.desk.apply(Route(1, (server.upstream(),), "soon", is_held=True))
        w.client()
        w.until(lambda: w.desk.counters().held == 1)
        w.settle()
        assert server.poll() == 1
        client.send(b"on")
        assert w.receive(upstream, 2) == b"on"
        w.route(1, server.upstream())
        w.until(lambda: server.poll() == 2)


def test_a_hold_ends_with_a_reason() -> None:
    """Who waited hold_s under a held route is refused as no_route."""
    with world(limits=Limits(hold_s=3)) as w:
        server = w.server()
        w.desk.apply(Route(1, (server.upstream(),), "soon", is_held=True))
        w.client()
        w.until(lambda: w.desk.counters().held == 1)
        w.pass_time(3)
        assert w.desk.counters().refused == {Refusal.NO_ROUTE: 1}


def test_clients_of_one_address_are_limited() -> None:
    """Of a burst only so many are let in; later as many as the rate gives."""
    with world(limits=Limits(rate_per_s=2.0, rate_burst=3)) as w:
        for _ in range(5):
            w.client()
        w.until(lambda: w.desk.counters().accepted == 5)
        assert w.desk.counters().refused == {Refusal.RATE_LIMIT: 2}
        w.pass_time(0.5)
        for _ in range(2):
            w.client()
        w.until(lambda: w.desk.counters().accepted == 7)
        assert w.desk.counters().refused == {Refusal.RATE_LIMIT: 3}


def test_a_bucket_never_gives_more() -> None:
    """Over any time an address gets at most its burst and the rate's share, whatever the others
    do; and no more addresses are remembered than there is room for."""
    dice = random.Random(3)
    rates = Rates(10.0, 5)
    entered = {"a": 0, "b": 0}
    now_s = 0.0
    for _ in range(5000):
        now_s += dice.random() / 50
        address = dice.choice("ab")
        entered[address] += rates.may_enter(address, now_s)
    for count in entered.values():
        assert 0.95 * now_s * 10 < count <= now_s * 10 + 5
    for number in range(ADDRESSES_MAX * 2):
        rates.may_enter(str(number), now_s)
    assert len(rates._buckets) == ADDRESSES_MAX


def _upstream(name: str, weight: float = 1.0) -> Upstream:
    return Upstream(name, 1, "127.0.0.1", 7687, weight)


def _spread(targets: Targets, clients: int, now_s: float) -> dict[str, int]:
    for _ in range(clients):
        target = targets.choose(now_s)
        assert target is not None
        target.sessions += 1
    return targets.sessions()


def test_weights_share_sessions() -> None:
    """Sessions are spread in proportion to the weights."""
    targets = Targets()
    targets.follow([_upstream("near"), _upstream("far", 0.5), _upstream("farther", 0.25)])
    spread = _spread(targets, 700, 0.0)
    assert spread == pytest.approx({"near": 400, "far": 200, "farther": 100}, abs=2)


def test_a_newcomer_starts_slowly() -> None:
    """An upstream that comes beside others does not get every next client: at first a tenth of
    its share, after SLOW_START_S the whole."""
    targets = Targets()
    targets.follow([_upstream("old")])
    _spread(targets, 100, 0.0)
    targets.follow([_upstream("old"), _upstream("new")], 50.0)
    assert _spread(targets, 50, 50.0)["new"] <= 15
    assert _spread(targets, 200, 50.0 + SLOW_START_S)["new"] == pytest.approx(175, abs=1)


def test_weights_are_followed() -> None:
    """An upstream that comes again with another weight keeps its sessions and gets the weight."""
    targets = Targets()
    targets.follow([_upstream("a"), _upstream("b")])
    _spread(targets, 10, 0.0)
    targets.follow([_upstream("a"), _upstream("b", 0.25)])
    assert _spread(targets, 10, 0.0) == {"a": 15, "b": 5}
    assert isinstance(targets.choose(0.0), Target)


def test_a_histogram_counts_within_bounds() -> None:
    """A value equal to a bound is within it; sums and merges are exact."""
    made = Histogram((1.0, 10.0))
    for value in (0.5, 1.0, 1.5, 10.0, 11.0):
        made.add(value)
    assert made.frozen() == Distribution((1.0, 10.0), (2, 2, 1), 24.0)
    assert made.frozen().plus(made.frozen()).counts == (4, 4, 2)


def test_waits_and_durations_are_counted() -> None:
    """Each served session counts once in how long it waited, and once in how long it lasted."""
    with world(Kind.RW) as w:
        server = w.server()
        client = w.client()
        w.until(lambda: w.desk.counters().held == 1)
        w.clock.now_s += 2.0
        w.route(1, server.upstream())
        w.until(lambda: server.poll() and w.asked)
        w.confirm_all()
        w.clock.now_s += 30.0
        client.close()
        w.until(lambda: try_recv(server.accepted[0]) == b"")
        server.accepted[0].close()
        w.until(lambda: w.desk.counters().active == 0)
        numbers = w.desk.counters()
        assert numbers.waits_s.total == pytest.approx(2.0)
        assert numbers.durations_s.total == pytest.approx(32.0)
        assert sum(numbers.durations_s.counts) == 1


def test_cuts_and_dials_are_told_apart() -> None:
    """Cuts are counted by the term that ended the sessions, for the last terms only; failed dials
    by instance; how long a dial took, of those that were answered."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        w.joined(server)
        w.joined(server)
        w.route(2)
        w.route(3, Upstream("memgraph-1", 1, "127.0.0.1", closed_port()))
        w.client()
        w.until(lambda: w.desk.counters().dial_failures)
        numbers = w.desk.counters()
        assert numbers.cut_by_term == {"2": 2}
        assert numbers.failed_dials.keys() == {"memgraph-1"}
        assert sum(numbers.dials_s.counts) == 2
        for term in range(4, 4 + 2 * TERMS_MAX):
            w.desk._tally.term = term
            w.desk._tally.count_cut(1, is_drained=False)
        expected = {str(term) for term in range(4 + TERMS_MAX, 4 + 2 * TERMS_MAX)}
        assert w.desk.counters().cut_by_term.keys() == expected
        both = together(w.desk.counters(), numbers)
        assert both.cut_by_term.keys() == expected
        assert both.cut == 2 + 2 + 2 * TERMS_MAX


def test_bytes_are_told_apart_by_instance() -> None:
    """Of sessions that run and of those that are over, on their way up and down; both together are
    the sums."""
    with world(Kind.RO) as w:
        one, other = w.server(), w.server()
        w.route(1, one.upstream("memgraph-1"), other.upstream("memgraph-2"))
        for server, question in ((one, b"four"), (other, b"12345")):
            client, upstream = w.joined(server)
            client.send(question)
            w.receive(upstream, len(question))
            upstream.send(b"yes")
            w.receive(client, 3)
        for _ in range(2):  # the first time both run, the second time one is over
            numbers = w.desk.counters()
            assert numbers.bytes_up_by == {"memgraph-1": 4, "memgraph-2": 5}
            assert numbers.bytes_down_by == {"memgraph-1": 3, "memgraph-2": 3}
            assert (numbers.bytes_up, numbers.bytes_down) == (9, 6)
            w.route(1, other.upstream("memgraph-2"))


def test_instances_that_are_told_apart_are_bounded() -> None:
    """Names beyond the limit are summed as others; no byte is forgotten."""
    relayed = Relayed()
    for number in range(INSTANCES_MAX + 5):
        relayed.add(f"memgraph-{number}", 1, 2)
    assert len(relayed.up) == INSTANCES_MAX + 1
    assert (relayed.up["others"], relayed.down["others"]) == (5, 10)
    assert sum(relayed.plus(relayed).down.values()) == 4 * (INSTANCES_MAX + 5)


def test_drained_sessions_are_told_apart() -> None:
    """Of the sessions that a planned change ends, those between two requests are counted as
    drained, by its term; the rest is cut."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        w.joined(server)
        busy, upstream = w.joined(server)
        busy.send(b"question")
        w.receive(upstream, 8)
        w.desk.apply(Route(2, (), "planned", drain_until_s=w.clock.now_s + 1))
        w.pass_time(QUIET_S)
        w.pass_time(1)
        numbers = w.desk.counters()
        assert (numbers.cut_by_term, numbers.drained_by_term) == ({"2": 2}, {"2": 1})
