"""What a client has to do before it is found an upstream: its PROXY header, its TLS handshake.

Promise: nobody is dialled for who has not greeted; a header and a handshake are bounded in size
here, and in time by the desk. Bytes after the header are left in the kernel for the relay.
"""

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway import proxy_header
from gateway.link import NAMED
from gateway.pump import Pump
from gateway.reasons import Refusal
from gateway.route import Limits, ProxyProtocol
from gateway.session import Session

if TYPE_CHECKING:
    import ssl

    from gateway.tls import Contexts

LOOK_AGAIN_S = 1.0  # at the files of the certificate


class NotGreeted(Exception):
    """The client is to be refused; caught by the desk, which counts the reason."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Greeter:
    """Of one gateway. `ssl` is imported only when TLS is asked for.

    Raises:
      OSError: a file of a certificate cannot be used.
    """

    def __init__(self, limits: Limits, pump: Pump, on_trouble: Callable[[str], None]) -> None:
        self._limits, self._pump = limits, pump
        self._contexts: Contexts | None = None
        self.upstream_context: ssl.SSLContext | None = None
        self._domain = limits.upstream_tls.domain if limits.upstream_tls is not None else ""
        self._look_at_s = 0.0
        if limits.client_tls is not None or limits.upstream_tls is not None:
            from gateway import tls

            if limits.client_tls is not None:
                self._contexts = tls.Contexts(limits.client_tls, on_trouble)
            if limits.upstream_tls is not None:
                self.upstream_context = tls.upstream_context(limits.upstream_tls)

    def tick(self, now_s: float) -> None:
        """Look at the files."""
        if self._contexts is not None and now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_AGAIN_S
            self._contexts.tick()

    def name_of(self, instance: str) -> str:
        """What the certificate of an instance has to name."""
        return f"{instance}.{self._domain}" if self._domain else instance

    def advance(self, session: Session) -> bool:
        """Whether the client is done; call again after each event until it is.

        Raises:
          NotGreeted: it cannot become done.
        """
        if not session.client.flags & NAMED:
            if not self._read_header(session):
                return False
            session.client.flags |= NAMED
        if session.secure is None and (self._contexts is not None or self.upstream_context):
            from gateway.secure import SecureRelay
            from gateway.tls import Side

            context = self._contexts.context if self._contexts is not None else None
            session.secure = SecureRelay(self._pump, session, Side(session.client.sock, context))
        if session.secure is None:
            return True
        try:
            return session.secure.client.handshake()
        except OSError as error:
            raise NotGreeted(Refusal.TLS_HANDSHAKE) from error

    def _read_header(self, session: Session) -> bool:
        wanted = self._limits.proxy_protocol
        if wanted is ProxyProtocol.OFF:
            return True
        sock = session.client.sock
        try:
            seen = sock.recv(proxy_header.HEADER_BYTES_MAX, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            raise NotGreeted(Refusal.CLIENT_LEFT) from None
        if not seen:
            raise NotGreeted(Refusal.CLIENT_LEFT)
        try:
            header = proxy_header.parse(seen, is_required=wanted is ProxyProtocol.REQUIRE)
        except proxy_header.BadHeader as error:
            raise NotGreeted(Refusal.PROXY_HEADER) from error
        if header is None:
            return False
        if header.size_bytes:
            sock.recv(header.size_bytes)
        session.peer = header.source or session.peer
        return True
