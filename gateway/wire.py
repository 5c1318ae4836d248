"""Sockets as the gateway wants them: options in one place, and what an errno means.

Nothing here blocks and nothing looks up a name.
"""

import contextlib
import errno
import socket
import struct

from gateway.route import Upstream

BACKLOG = 1024  # connections that the kernel keeps for us during one busy turn; see somaxconn
USER_TIMEOUT_MS = 30_000  # unacknowledged data for that long: the peer is gone
KEEPALIVE_IDLE_S = 15  # with three probes 5 s apart a silent dead peer is found in 30 s, as above
KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_PROBES = 3
UNSENT_BYTES_MAX = 1 << 18  # of one socket in the kernel: bounds what a stalled reader may pin
DIAL_UNDER_WAY = frozenset({0, errno.EINPROGRESS})
OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# accept(2): "already-pending network errors on the new socket"; they concern that client alone
CLIENT_GAVE_UP = frozenset(
    {
        errno.ECONNABORTED,
        errno.EINTR,
        errno.EPERM,
        errno.EPROTO,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENONET,
        errno.ETIMEDOUT,
    }
)
_LINGER_NOTHING = struct.pack("ii", 1, 0)
_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX),
)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _configure(sock: socket.socket) -> None:
    for level, option, value in _OPTIONS:
        sock.setsockopt(level, option, value)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket whose accepted sockets inherit our options (Linux copies them).

    Raises:
      OSError: the address cannot be bound; nothing is left open.
    """
    sock = socket.socket(_family(host), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _configure(sock)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def dial(upstream: Upstream) -> tuple[socket.socket, bool]:
    """Start to connect; returns the socket and whether the dial is under way.

    Raises:
      OSError: no socket could be made (out of descriptors).
    """
    sock = socket.socket(_family(upstream.host), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        _configure(sock)
        error = sock.connect_ex((upstream.host, upstream.port))
    except OSError:
        sock.close()
        raise
    return sock, error in DIAL_UNDER_WAY


def is_connected(sock: socket.socket) -> bool:
    """Whether a dial that reported an event has an upstream at its other end."""
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        return False
    try:
        # a dial to a closed local port of the ephemeral range can meet itself (simultaneous open)
        return bool(sock.getpeername() != sock.getsockname())
    except OSError:
        return False


def has_hung_up(sock: socket.socket) -> bool:
    """Whether a waiting client has left. One that half-closed after its request has not."""
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def reset(sock: socket.socket) -> None:
    """Close at once: the kernel discards what it still held and sends RST."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOTHING)
    sock.close()
