"""Sockets as the gateway wants them: options in one place, and what an errno means.

Nothing here blocks and nothing looks up a name.
"""

import errno
import fcntl
import os
import socket
import struct
import termios
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

Socket = socket.SocketType  # the C type: half the memory of socket.socket, and no Python calls
BACKLOG = 1024  # connections that the kernel keeps for us during one busy turn; see somaxconn
USER_TIMEOUT_MS = 30_000  # unacknowledged data for that long: the peer is gone
KEEPALIVE_IDLE_S = 15  # with three probes 5 s apart a silent dead peer is found in 30 s, as above
KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_PROBES = 3
# of one socket in the kernel: bounds what a stalled reader may pin; half of it costs a stream a
# sixth more of processor time
UNSENT_BYTES_MAX = 1 << 19
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


def _ephemeral_ports() -> range:
    """The ports that the kernel gives to sockets which connect; all, where it does not tell."""
    try:
        least, most = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        return range(int(least), int(most) + 1)
    except (OSError, ValueError):
        return range(65536)


# plain numbers: an IntEnum costs a Python call each time it is combined or taken as an int
_STREAM = int(socket.SOCK_STREAM) | int(socket.SOCK_NONBLOCK)
_TCP, _NODELAY = int(socket.IPPROTO_TCP), int(socket.TCP_NODELAY)
_SOCKET, _LINGER = int(socket.SOL_SOCKET), int(socket.SO_LINGER)
_EPHEMERAL = _ephemeral_ports()
_LINGER_NOTHING = struct.pack("ii", 1, 0)
_ROOM = bytearray(4)  # to be written into: of bytes Python would first find out that it must not
_LINGER_OFF = struct.pack("ii", 0, 0)
_ATTACH_FILTER = 26  # SO_ATTACH_FILTER, which socket does not name
# of a TCP segment: take byte 13, the flags; keep SYN and ACK; drop it if that is SYN alone
_NO_SYN = b"".join(
    struct.pack("HBBI", *step)
    for step in (
        (0x30, 0, 0, 13),  # BPF_LD | BPF_B | BPF_ABS
        (0x54, 0, 0, 0x12),  # BPF_ALU | BPF_AND | BPF_K
        (0x15, 0, 1, 0x02),  # BPF_JMP | BPF_JEQ | BPF_K
        (0x06, 0, 0, 0),  # BPF_RET: nothing of it
        (0x06, 0, 0, 0xFFFFFFFF),  # BPF_RET: all of it
    )
)
_KEEP_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS),
    (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX),
)


def _family(host: str) -> int:
    return int(socket.AF_INET6 if ":" in host else socket.AF_INET)


@attrs.frozen
class Way:
    """How an upstream is dialled. `may_meet_itself`: see `has_met_itself`."""

    family: int
    address: tuple[str, int]
    may_meet_itself: bool


def way_to(host: str, port: int) -> Way:
    """Worked out once: dials are many."""
    return Way(_family(host), (host, port), port in _EPHEMERAL)


def keep(sock: Socket) -> None:
    """Let the kernel find a dead peer, and bound what a stalled reader pins."""
    for level, option, value in _KEEP_OPTIONS:
        sock.setsockopt(level, option, value)


def bind(host: str, port: int, *, is_shared: bool = False) -> Socket:
    """A socket bound to the address, not listening yet.

    Args:
      is_shared: others may bind the same address (SO_REUSEPORT).

    Raises:
      OSError: the address cannot be bound; nothing is left open.
    """
    sock = Socket(_family(host), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep(sock)  # accepted sockets inherit all of it (Linux copies them)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def listen(host: str, port: int, *, is_shared: bool = False) -> Socket:
    """As `bind`, and listening.

    Raises:
      OSError: the address cannot be bound; nothing is left open.
    """
    sock = bind(host, port, is_shared=is_shared)
    try:
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def begin_no_handshake(listener: Socket) -> None:
    """From now on the kernel leaves a client's first packet (SYN) to this listener unanswered:
    who was answered before gets through, who comes now tries again until the listener is closed,
    and is then refused. Where the kernel knows no such filter, all goes on as before."""
    steps = array("B", _NO_SYN)  # an object whose address Python tells
    program = struct.pack("HP", len(steps) // struct.calcsize("HBBI"), steps.buffer_info()[0])
    with suppress(OSError):
        listener.setsockopt(_SOCKET, _ATTACH_FILTER, program)


def accept(listener: Socket) -> tuple[int, Any]:
    """The next client's descriptor and its address, as the kernel has it.

    Raises:
      BlockingIOError: nobody waits. OSError: see OUT_OF_DESCRIPTORS and CLIENT_GAVE_UP.
    """
    # the C half of socket.accept: no Python object in between
    fd, address = listener._accept()  # type: ignore[attr-defined]
    os.set_blocking(fd, False)
    return fd, address


def as_socket(fd: int) -> Socket:
    """An object for a descriptor, which it owns from then on. The family in it is of no account:
    nothing is done with it that has an address."""
    return Socket(socket.AF_INET, _STREAM, 0, fd)


def dial(way: Way) -> tuple[Socket, bool]:
    """Start to connect; returns the socket and whether the dial is under way.

    From the start its `close()` discards what the kernel still holds for the upstream, so that
    nothing is delivered late, not even when this process is killed; see `let_linger`. `keep`
    is left to the caller: a short session never needs it.

    Raises:
      OSError: no socket could be made (out of descriptors).
    """
    sock = Socket(way.family, _STREAM)
    try:
        sock.setsockopt(_TCP, _NODELAY, 1)
        sock.setsockopt(_SOCKET, _LINGER, _LINGER_NOTHING)
        error = sock.connect_ex(way.address)
    except OSError:
        sock.close()
        raise
    return sock, error in DIAL_UNDER_WAY


def let_linger(sock: Socket) -> None:
    """From now on closing a dialled socket lets the kernel deliver what it holds."""
    sock.setsockopt(_SOCKET, _LINGER, _LINGER_OFF)


def has_arrived(fd: int) -> bool:
    """Whether the other side has acknowledged everything; after a shutdown our end, too. To look
    costs a third of `let_linger`: bytes for an option are first tried as a number by Python."""
    fcntl.ioctl(fd, termios.TIOCOUTQ, _ROOM)
    return not any(_ROOM)


def has_met_itself(sock: Socket, way: Way) -> bool:
    """Whether a dial to a closed local port of the ephemeral range reached its own socket
    (simultaneous open): it looks connected, and leads nowhere."""
    return way.may_meet_itself and bool(sock.getsockname()[:2] == way.address)


def has_hung_up(sock: Socket) -> bool:
    """Whether a waiting client has left. One that half-closed after its request has not."""
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def discard(sock: Socket) -> None:
    """From now on closing it makes the kernel discard what it still held, and send RST."""
    sock.setsockopt(_SOCKET, _LINGER, _LINGER_NOTHING)
