"""Where clients may go, as plain values.

A route is handed to the gateway; nothing here knows who made it. The newcomer's mistake: a host
is an address, never a name. A name would be looked up (blocking the relay), and could lead to a
pod that is no longer the one which was verified; an empty one would lead to ourselves.
"""

import ipaddress
from enum import Enum
from typing import Any

import attrs

UpstreamKey = tuple[str, int]


class Kind(Enum):
    """Which of the two gateways this is: it decides what a new route lets live."""

    RW = "rw"
    RO = "ro"


def _is_address(_: Any, __: Any, value: str) -> None:
    ipaddress.ip_address(value)


@attrs.frozen
class Upstream:
    """One verified process incarnation of an instance.

    Args:
      instance: stable name (`memgraph-0`).
      incarnation: the verifier's own counter; another number is another process.
      host: an IP address. Anything else raises ValueError.
      port: TCP port of Bolt.
    """

    instance: str
    incarnation: int
    host: str = attrs.field(validator=_is_address)
    port: int

    @property
    def key(self) -> UpstreamKey:
        """What identifies the process: the address is only the way to it."""
        return self.instance, self.incarnation


@attrs.frozen
class Route:
    """Where clients may go in this term. No upstreams: closed, and `reason` says why."""

    term: int
    upstreams: tuple[Upstream, ...]
    reason: str

    @property
    def keys(self) -> frozenset[UpstreamKey]:
        """The incarnations that a session may be joined to."""
        return frozenset(upstream.key for upstream in self.upstreams)


@attrs.frozen
class Limits:
    """The named maxima of one gateway.

    Args:
      connections_max: clients served at once, held ones included. One more is refused.
      hold_s: longest wait of a client for an upstream, counted from its accept.
      hold_max: clients that may wait at once.
      connect_timeout_s: longest wait for one upstream to take a connection.
      idle_timeout_s: a session that moved no byte for that long is ended. None: never.
      session_bytes_max: bytes of one session, both ways together. None: no limit.
    """

    connections_max: int = 1000
    hold_s: float = 30.0
    hold_max: int = 1000
    connect_timeout_s: float = 2.0
    idle_timeout_s: float | None = None
    session_bytes_max: int | None = None
