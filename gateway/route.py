"""Where clients may go, as plain values.

A route is handed to the gateway; nothing here knows who made it. The newcomer's mistake: a host
is an address, never a name. A name would be looked up (blocking the relay), and could lead to a
pod that is no longer the one which was verified; an empty one would lead to ourselves.
"""

import ipaddress
from enum import Enum
from functools import lru_cache
from typing import Any

import attrs

UpstreamKey = tuple[str, int]


class Kind(Enum):
    """Which of the two gateways this is: it decides what a new route lets live."""

    RW = "rw"
    RO = "ro"


class ProxyProtocol(Enum):
    """Whether a client's first bytes are a PROXY header (of a load balancer that is trusted)."""

    OFF = "off"
    ACCEPT = "accept"
    REQUIRE = "require"


def _is_address(_: Any, __: Any, value: str) -> None:
    _parsed(value)


@lru_cache(maxsize=1024)
def _parsed(value: str) -> object:
    return ipaddress.ip_address(value)


@attrs.frozen
class Upstream:
    """One verified process incarnation of an instance.

    Args:
      instance: stable name (`memgraph-0`).
      incarnation: the verifier's own counter; another number is another process.
      host: an IP address. Anything else raises ValueError.
      port: TCP port of Bolt.
      weight: share of RO sessions in relation to others; 1 for one that lags nothing.
      may_become_main: RO goes on with it only while the self-fence is kept (S14).
    """

    instance: str
    incarnation: int
    host: str = attrs.field(validator=_is_address)
    port: int
    weight: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    may_become_main: bool = False

    @property
    def key(self) -> UpstreamKey:
        """What identifies the process: the address is only the way to it."""
        return self.instance, self.incarnation


@attrs.frozen
class Route:
    """Where clients may go in this term.

    Args:
      term: an older one than the present is refused.
      upstreams: none: closed, new clients are held, and `reason` says why.
      is_held: new clients wait although there are upstreams; sessions with those go on.
      drain_until_s: monotonic seconds, of the gateway's clock. Sessions that this route does not
        allow may go on until then, each until it is between two requests. None: they end now.
    """

    term: int
    upstreams: tuple[Upstream, ...]
    reason: str
    is_held: bool = False
    drain_until_s: float | None = None

    @property
    def keys(self) -> frozenset[UpstreamKey]:
        """The incarnations that a session may be joined to."""
        return frozenset(upstream.key for upstream in self.upstreams)


@attrs.frozen
class ClientTls:
    """TLS with clients. Paths of PEM files, which are read again when they change; with
    `client_ca_path` a client has to show a certificate of that authority."""

    cert_path: str
    key_path: str
    client_ca_path: str = ""


@attrs.frozen
class UpstreamTls:
    """TLS with instances. Verified: the certificate is of `ca_path` ("": the system's
    authorities) and names the instance, or its name within `domain`."""

    is_verified: bool
    ca_path: str = ""
    domain: str = ""


@attrs.frozen
class Limits:
    """The named maxima of one gateway, and what it speaks.

    Args:
      connections_max: clients served at once, held ones included. One more is refused.
      hold_s: longest wait of a client for an upstream, counted from its accept.
      hold_max: clients that may wait at once.
      connect_timeout_s: longest wait for one upstream to take a connection.
      greeting_s: longest wait for a PROXY header and for a TLS handshake.
      idle_timeout_s: a session that moved no byte for that long is ended. None: never.
      session_bytes_max: bytes of one session, both ways together. None: no limit.
      buffer_bytes: what the relay itself may hold of one direction, beside the kernel's sockets.
      rate_per_s, rate_burst: new clients of one address. None: no limit.
      proxy_protocol: whether clients begin with a PROXY header.
      client_tls, upstream_tls: None: in the clear.
    """

    connections_max: int = 1000
    hold_s: float = 30.0
    hold_max: int = 1000
    connect_timeout_s: float = 2.0
    greeting_s: float = 5.0
    idle_timeout_s: float | None = None
    session_bytes_max: int | None = None
    buffer_bytes: int = 1 << 20
    rate_per_s: float | None = None
    rate_burst: int = 200
    proxy_protocol: ProxyProtocol = ProxyProtocol.OFF
    client_tls: ClientTls | None = None
    upstream_tls: UpstreamTls | None = None

    @property
    def greets(self) -> bool:
        """Whether a client has something to do before it is found an upstream."""
        return self.proxy_protocol is not ProxyProtocol.OFF or self.client_tls is not None
