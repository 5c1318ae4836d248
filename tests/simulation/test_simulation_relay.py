"""The simulated relay: what its controller told it, and whom it leads clients to by that."""

from random import Random

import trio
from simulation.actors import Freezer
from simulation.memgraph import Instances
from simulation.network import Network
from simulation.relay import Kind, Relay

from gateway import Route, Upstream

OPEN = Route(2, (Upstream("memgraph-0", 1, "10.0.0.1", 7687),), "")


def relay_and_noted(freezer: Freezer, led: list[str]) -> tuple[Relay, list[Route]]:
    """A relay, and the routes that the books were shown; `led`: to whom clients were led."""
    noted: list[Route] = []
    peers = Instances(Network(), Random(1), lambda *_: None)
    relay = Relay(
        "ctl-0",
        "ctl-0#1/relay",
        peers,
        Network(),
        freezer,
        lambda pod, route: noted.append(route),
        led.append,
    )
    return relay, noted


async def test_who_leads_clients_is_looked_at(autojump_clock: trio.abc.Clock) -> None:
    """Once for each opening, when it may serve."""
    relay, noted = relay_and_noted(Freezer(), [])
    relay.serve_until(4.0)
    relay.apply(Kind.RW, OPEN)
    relay.serve_until(5.0)
    assert noted == [OPEN]


async def test_a_route_behind_the_deadline_leads_nobody(autojump_clock: trio.abc.Clock) -> None:
    """A thawed relay hears an old route first, and what closes it after that; only a deadline that
    is prolonged meanwhile makes it one by which clients are led (S6)."""
    relay, noted = relay_and_noted(Freezer(), [])
    relay.serve_until(4.0)
    await trio.sleep(9.0)
    relay.apply(Kind.RW, OPEN)
    assert (noted, relay.writable()) == ([], None)
    relay.serve_until(12.0)
    assert noted == [OPEN]


async def test_the_backlog_of_a_thawed_relay_leads_nobody(autojump_clock: trio.abc.Clock) -> None:
    """A route of long ago comes first out of it, its end right behind; what it is told once it has
    caught up counts like any other (S6)."""
    freezer, led = Freezer(), list[str]()
    relay, noted = relay_and_noted(freezer, led)
    relay.serve_until(20.0)
    freezer.freeze(relay.actor)
    await trio.sleep(5.0)
    freezer.thaw(relay.actor)
    relay.apply(Kind.RW, OPEN)
    assert (noted, led) == ([OPEN], [])
    await trio.sleep(1.0)
    later = Route(3, OPEN.upstreams, "")
    relay.apply(Kind.RW, later)
    assert (noted, led) == ([OPEN, later], ["memgraph-0"])
