"""Carries. TCP in, TCP out, following a route that it is handed.

Promise: a session reaches only an upstream of the present route; an older route is refused; what
the gateway turned away is counted with its reason. It never asks Kubernetes or Memgraph anything:
who may be reached, and whether that is still verified, is told to it. Imports trio, attrs and the
standard library only.

Rooms: `desk` (one gateway: its route, its door, its deadline) lets clients wait in the `hall` and
has those on the `floor` relayed by the `pump` and its `mover`, or by `secure` where TLS is spoken.
Whoever owns the loop drives the desks: `gateway` in a trio task, `worker` in a process of its own,
which `workers` starts, tells and restarts, by `messages`. Only `gateway`, `workers` and `launcher`
know trio: a worker imports none of them, so that it stays small.
"""

import importlib
from typing import TYPE_CHECKING, Any

from gateway.counters import Counters
from gateway.errors import GatewayError, Malformed, StaleRoute
from gateway.reasons import Ending, Refusal
from gateway.route import ClientTls, Kind, Limits, ProxyProtocol, Route, Upstream, UpstreamTls

if TYPE_CHECKING:
    from gateway.gateway import Gateway
    from gateway.workers import Workers

__all__ = [
    "ClientTls",
    "Counters",
    "Ending",
    "Gateway",
    "GatewayError",
    "Kind",
    "Limits",
    "Malformed",
    "ProxyProtocol",
    "Refusal",
    "Route",
    "StaleRoute",
    "Upstream",
    "UpstreamTls",
    "Workers",
]


def __getattr__(name: str) -> Any:
    """Load the two that need trio when somebody asks for them."""
    if name in ("Gateway", "Workers"):
        return getattr(importlib.import_module(f"gateway.{name.lower()}"), name)
    raise AttributeError(f"module 'gateway' has no attribute {name!r}")
