"""Why a client was refused, and why a session ended. Each is counted, none is silent."""

from enum import StrEnum

# Enum's own __hash__ is Python code, and these are counted once for each connection.


class Refusal(StrEnum):
    """The client never had a byte relayed."""

    __hash__ = str.__hash__

    MAX_CONNECTIONS = "max_connections"
    NO_ROUTE = "no_route"
    HOLD_FULL = "hold_full"
    CLIENT_LEFT = "client_left"
    DIAL_FAILED = "dial_failed"
    UNCONFIRMED = "unconfirmed"
    NO_DESCRIPTORS = "no_descriptors"
    SELF_FENCE = "self_fence"
    SHUTDOWN = "shutdown"
    RATE_LIMIT = "rate_limit"
    PROXY_HEADER = "proxy_header"
    GREETING_TIMEOUT = "greeting_timeout"
    TLS_HANDSHAKE = "tls_handshake"
    WORKER_LOST = "worker_lost"


class Ending(StrEnum):
    """The session was relayed, and is over."""

    __hash__ = str.__hash__

    CLIENT_CLOSED = "client_closed"
    UPSTREAM_CLOSED = "upstream_closed"
    CLIENT_ERROR = "client_error"
    UPSTREAM_ERROR = "upstream_error"
    CUT = "cut"
    DRAINED = "drained"
    SELF_FENCE = "self_fence"
    IDLE_TIMEOUT = "idle_timeout"
    BYTES_LIMIT = "bytes_limit"
    SHUTDOWN = "shutdown"
    TLS_ERROR = "tls_error"
    WORKER_LOST = "worker_lost"
