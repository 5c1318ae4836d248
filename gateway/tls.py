"""TLS within the loop: contexts that follow their files, and one side of a session that speaks it.

Promise: at least version 1.2; a certificate that is replaced is used for the next handshake, and
one that cannot be read leaves the last good one in use. No thread, no blocking call but the
handshake's own arithmetic. Imported only where TLS is asked for: a worker without it stays small.
"""

import contextlib
import os
import ssl
from collections.abc import Callable

from gateway.route import ClientTls, UpstreamTls
from gateway.wire import Socket

READ_BYTES = 32768  # ciphertext of one recv; larger ones make malloc tidy up after each
PLAIN_BYTES = 16384  # one TLS record holds no more
LOOK_AGAIN_S = 1.0  # at the files


class Contexts:
    """The context of new handshakes with clients.

    Args:
      tls: where the files are.
      on_trouble: told once about files that cannot be used.

    Raises:
      OSError, ssl.SSLError: the files cannot be used from the start.
    """

    def __init__(self, tls: ClientTls, on_trouble: Callable[[str], None]) -> None:
        self._tls, self._on_trouble = tls, on_trouble
        self._seen = self._stamps()
        self.context = self._load()

    def tick(self) -> None:
        """Load again what has changed. Call every LOOK_AGAIN_S."""
        try:
            stamps = self._stamps()
            if stamps == self._seen:
                return
            self._seen = stamps
            self.context = self._load()
        except (OSError, ssl.SSLError) as error:
            self._on_trouble(f"TLS: the old certificate stays in use: {error}")

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        paths = [self._tls.cert_path, self._tls.key_path, self._tls.client_ca_path]
        found = [os.stat(path) for path in paths if path]
        return tuple((stat.st_mtime_ns, stat.st_ino) for stat in found)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._tls.cert_path, self._tls.key_path)
        if self._tls.client_ca_path:
            context.load_verify_locations(self._tls.client_ca_path)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def upstream_context(tls: UpstreamTls) -> ssl.SSLContext:
    """For dials to instances.

    Raises:
      OSError, ssl.SSLError: the authority's file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not tls.is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca_path:
        context.load_verify_locations(tls.ca_path)
    else:
        context.load_default_certs()
    return context


class Side:
    """One socket of a session, with TLS on it or without.

    Invariant: `to_send` holds what the socket did not take; while it is not empty, whoever feeds
    this side has to wait. It never grows beyond what one record, or one handshake flight, makes.

    Attributes:
      is_dry: the last read left nothing: neither in the socket nor here. An end that came at the
        same time may follow.
    """

    def __init__(
        self, sock: Socket, context: ssl.SSLContext | None = None, *, name: str | None = None
    ) -> None:
        self.sock = sock
        self.to_send = b""
        self.is_ended = self.is_dry = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        if context is not None:
            is_server = context.protocol is ssl.PROTOCOL_TLS_SERVER
            name = name if context.check_hostname else None
            self._tls = context.wrap_bio(
                self._incoming, self._outgoing, server_side=is_server, server_hostname=name
            )

    def handshake(self) -> bool:
        """Whether it is done; call again after each event until it is.

        Raises:
          OSError (ssl.SSLError is one): it failed.
        """
        if self._tls is None:
            return True
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                if not self._receive():
                    return False
                if self._incoming.eof:
                    raise ConnectionResetError("ended within the handshake") from None
            else:
                self.flush()
                return True

    def read(self) -> bytes | None:
        """Plain bytes; b"" at the end; None when there are none now.

        Raises:
          OSError: the connection broke.
        """
        if self._tls is None:
            try:
                data = self.sock.recv(PLAIN_BYTES)
            except BlockingIOError:
                return None
            self.is_dry = 0 < len(data) < PLAIN_BYTES
            return data
        is_short = False  # the socket had no more than was received
        while True:
            if not self._incoming.pending:  # to try TLS first would cost an exception each time
                if not self._receive():
                    return None
                is_short = 0 < self._incoming.pending < READ_BYTES
            try:
                data = self._tls.read(PLAIN_BYTES)
            except ssl.SSLWantReadError:
                continue
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            self.is_dry = is_short and not self._incoming.pending
            return data

    def _receive(self) -> bool:
        """Whether ciphertext, or its end, came."""
        try:
            data = self.sock.recv(READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return True

    def write(self, data: bytes) -> None:
        """Send plain bytes, or keep them in `to_send`.

        Raises:
          OSError: the connection broke.
        """
        if self._tls is None:
            self.to_send += data
        else:
            self._tls.write(data)
            self.to_send += self._outgoing.read()
        self._send()

    def flush(self) -> bool:
        """Send what is kept; whether nothing is left.

        Raises:
          OSError: the connection broke.
        """
        if self._outgoing.pending:
            self.to_send += self._outgoing.read()
        return self._send()

    def _send(self) -> bool:
        while self.to_send:
            try:
                sent_bytes = self.sock.send(self.to_send)
            except BlockingIOError:
                return False
            self.to_send = self.to_send[sent_bytes:]
        return True

    def end(self) -> None:
        """Say, within TLS, that nothing follows."""
        if self._tls is not None:
            with contextlib.suppress(ssl.SSLError, ValueError):
                self._tls.unwrap()  # it wants the other's word as well, which may never come
            self.flush()
