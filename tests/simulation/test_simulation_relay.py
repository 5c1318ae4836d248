"""The simulated relay: what its controller told it, and whom it leads clients to by that."""

from random import Random

import trio
from simulation.actors import Freezer
from simulation.memgraph import Instances
from simulation.network import Network
from simulation.relay import Kind, Relay

from gateway import Route, Upstream

OPEN = Route(2, (Upstream("memgraph-0", 1, "10.0.0.1", 7687),), "")


def relay_and_noted() -> tuple[Relay, list[Route]]:
    """A relay, and the routes that the books were shown."""
    noted: list[Route] = []
    peers = Instances(Network(), Random(1), lambda *_: None)
    relay = Relay(
        "ctl-0",
        "ctl-0#1/relay",
        peers,
        Network(),
        Freezer(),
        lambda pod, route: noted.append(route),
    )
    return relay, noted


async def test_who_leads_clients_is_looked_at(autojump_clock: trio.abc.Clock) -> None:
    """Once for each opening, when it may serve."""
    relay, noted = relay_and_noted()
    relay.serve_until(4.0)
    relay.apply(Kind.RW, OPEN)
    relay.serve_until(5.0)
    assert noted == [OPEN]


async def test_a_route_behind_the_deadline_leads_nobody(autojump_clock: trio.abc.Clock) -> None:
    """A thawed relay hears an old route first, and what closes it after that; only a deadline that
    is prolonged meanwhile makes it one by which clients are led (S6)."""
    relay, noted = relay_and_noted()
    relay.serve_until(4.0)
    await trio.sleep(9.0)
    relay.apply(Kind.RW, OPEN)
    assert (noted, relay.writable()) == ([], None)
    relay.serve_until(12.0)
    assert noted == [OPEN]
