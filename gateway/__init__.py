"""Carries. TCP in, TCP out, following a route that it is handed.

Promise: a session reaches only an upstream of the present route; an older route is refused; what
the gateway turned away is counted with its reason. It never asks Kubernetes or Memgraph anything:
who may be reached, and whether that is still verified, is told to it. Imports trio, attrs and the
standard library only.

Rooms: `gateway` (the interface, the only one that knows trio) drives `desk` (who goes where),
which drives `pump` (bytes). A relay process of its own would take `desk` and `pump` along.
"""

from gateway.counters import Counters
from gateway.errors import GatewayError, StaleRoute
from gateway.gateway import Gateway
from gateway.reasons import Ending, Refusal
from gateway.route import Kind, Limits, Route, Upstream

__all__ = [
    "Counters",
    "Ending",
    "Gateway",
    "GatewayError",
    "Kind",
    "Limits",
    "Refusal",
    "Route",
    "StaleRoute",
    "Upstream",
]
