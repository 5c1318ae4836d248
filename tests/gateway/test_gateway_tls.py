"""TLS with clients and with instances, and PROXY headers, on a desk with real sockets."""

import hashlib
import os
import random
import shutil
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import attrs
import pytest
from gateway_world import World, has_ended, try_recv, world

from gateway import ClientTls, ProxyProtocol, UpstreamTls, proxy_header
from gateway.reasons import Ending, Refusal
from gateway.route import Limits
from gateway.tls import LOOK_AGAIN_S

CERTS = Path(__file__).parent / "certs"
CA = str(CERTS / "authority.pem")
SERVER = ClientTls(str(CERTS / "server.pem"), str(CERTS / "server.key"))


@attrs.define(eq=False)
class Speaker:
    """One end of a connection that speaks TLS, moved on by hand."""

    w: World
    sock: socket.socket
    tls: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    kept: bytes = b""

    @classmethod
    def client(cls, w: World, sock: socket.socket, context: ssl.SSLContext) -> "Speaker":
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        return cls(
            w,
            sock,
            context.wrap_bio(incoming, outgoing, server_hostname="gateway"),
            incoming,
            outgoing,
        )

    @classmethod
    def server(cls, w: World, sock: socket.socket) -> "Speaker":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(SERVER.cert_path, SERVER.key_path)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        return cls(
            w, sock, context.wrap_bio(incoming, outgoing, server_side=True), incoming, outgoing
        )

    def move(self) -> bool:
        """Exchange ciphertext; False when nothing came."""
        self.kept += self.outgoing.read()
        with suppress(BlockingIOError):
            while self.kept:
                self.kept = self.kept[self.sock.send(self.kept) :]
        data = try_recv(self.sock, 1 << 16)
        if data:
            self.incoming.write(data)
        elif data == b"":
            self.incoming.write_eof()
        return data is not None

    def does(self, act: Callable[[], object]) -> bool:
        """Whether it went through; otherwise the other side has to do something."""
        try:
            act()
        except ssl.SSLWantReadError:
            self.move()
            return False
        finally:
            self.move()
        return True

    def read(self) -> bytes | None:
        self.move()
        try:
            return self.tls.read(1 << 16)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def receive(self, size: int) -> bytes:
        got = bytearray()
        self.w.until(lambda: len(got) >= size or not _extend(got, self.read()))
        return bytes(got)


def _extend(got: bytearray, data: bytes | None) -> bool:
    got.extend(data or b"")
    return data != b""


def client_context(**options: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=CA)
    if options:
        context.load_cert_chain(options["cert"], options["key"])
    return context


def joined(w: World, context: ssl.SSLContext | None = None) -> tuple[Speaker, socket.socket]:
    """A client that has shaken hands and was relayed to a plain upstream."""
    server = w.servers[0] if w.servers else w.server()
    w.route(1, server.upstream())
    before = server.poll()
    speaker = Speaker.client(w, w.client(), context or client_context())
    w.until(lambda: speaker.does(speaker.tls.do_handshake))
    w.until(lambda: server.poll() > before and w.asked)
    w.confirm_all()
    return speaker, server.accepted[-1]


def test_a_client_speaks_tls() -> None:
    """Question and answer go through, encrypted on the client's side alone, at least with 1.2."""
    with world(limits=Limits(client_tls=SERVER)) as w:
        client, upstream = joined(w)
        client.tls.write(b"question")
        client.move()
        assert w.receive(upstream, 8) == b"question"
        upstream.send(b"the answer")
        assert client.receive(10) == b"the answer"
        assert w.desk.counters().bytes_up == 8
        assert w.desk.counters().bytes_down == 10


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("upstream_speaks", [False, True])
def test_tls_is_whole_both_ways(seed: int, upstream_speaks: bool) -> None:
    """Megabytes in random pieces with stalls arrive whole in both directions at one time."""
    dice = random.Random(seed)
    limits = Limits(
        client_tls=SERVER,
        upstream_tls=UpstreamTls(is_verified=True, ca_path=CA) if upstream_speaks else None,
    )
    with world(limits=limits) as w:
        server = w.server()
        w.route(1, server.upstream())
        client = Speaker.client(w, w.client(), client_context())
        other: Speaker | None = None

        def is_joined() -> object:
            nonlocal other
            client.does(client.tls.do_handshake)
            if upstream_speaks and other is None and server.poll():
                other = Speaker.server(w, server.accepted[0])
            if other is not None:
                other.does(other.tls.do_handshake)
            return w.asked

        w.until(is_joined)
        w.confirm_all()
        server.poll()
        sent = {"up": bytearray(), "down": bytearray()}
        got = {"up": hashlib.sha256(), "down": hashlib.sha256()}
        left = {"up": 2 << 20, "down": 2 << 20}
        came = {"up": 0, "down": 0}
        while max(left.values()) or came != {way: len(sent[way]) for way in sent}:
            w.desk.step(0)
            way = dice.choice(("up", "down"))
            source = client if way == "up" else other or server.accepted[0]
            sink = client if way == "down" else other or server.accepted[0]
            if left[way] and not (isinstance(source, Speaker) and source.kept):
                piece = dice.randbytes(min(left[way], dice.choice((1, 1000, 16384, 100_000))))
                taken = _give(source, piece)
                sent[way] += piece[:taken]
                left[way] -= taken
            elif isinstance(source, Speaker):
                source.move()
            if dice.random() < 0.7:
                data = sink.read() if isinstance(sink, Speaker) else try_recv(sink)
                got[way].update(data or b"")
                came[way] += len(data or b"")
                assert data != b""
        for way in ("up", "down"):
            assert got[way].digest() == hashlib.sha256(sent[way]).digest()


def _give(source: Speaker | socket.socket, piece: bytes) -> int:
    if isinstance(source, Speaker):
        taken = source.tls.write(piece)
        source.move()
        return taken
    try:
        return source.send(piece)
    except BlockingIOError:
        return 0


@pytest.mark.parametrize("first", ["client", "upstream"])
def test_tls_ends_in_order(first: str) -> None:
    """Who closes first is named, the other side sees an orderly end after the last byte."""
    with world(limits=Limits(client_tls=SERVER)) as w:
        client, upstream = joined(w)
        if first == "client":
            client.tls.write(b"bye")
            with suppress(ssl.SSLWantReadError):
                client.tls.unwrap()
            client.move()
            client.sock.shutdown(socket.SHUT_WR)
            assert w.receive(upstream, 3) == b"bye"
            w.until(lambda: try_recv(upstream) == b"")
            upstream.close()
        else:
            upstream.send(b"bye")
            upstream.close()
            assert client.receive(3) == b"bye"
            w.until(lambda: client.read() == b"")
            client.sock.shutdown(socket.SHUT_WR)
        w.until(lambda: w.desk.counters().active == 0)
        expected = Ending.CLIENT_CLOSED if first == "client" else Ending.UPSTREAM_CLOSED
        assert w.desk.counters().ended == {expected: 1}


@pytest.mark.parametrize("missing", [0, 3], ids=["whole", "cut short"])
def test_the_last_record_and_the_end_come_at_once(missing: int) -> None:
    """A client that sends and leaves makes one event of both: the record is passed on if it is
    whole, and the end in any case."""
    with world(limits=Limits(client_tls=SERVER)) as w:
        client, upstream = joined(w)
        client.tls.write(b"last")
        record = client.outgoing.read()
        client.sock.send(record[: len(record) - missing])
        client.sock.shutdown(socket.SHUT_WR)
        if not missing:
            assert w.receive(upstream, 4) == b"last"
        w.until(lambda: has_ended(upstream))


def test_a_cut_ends_tls_sessions() -> None:
    """A new term ends a session that speaks TLS like any other."""
    with world(limits=Limits(client_tls=SERVER)) as w:
        client, upstream = joined(w)
        client.tls.write(b"write")
        client.move()
        w.receive(upstream, 5)
        assert w.route(2) == 1
        assert has_ended(client.sock)
        assert has_ended(upstream)


def test_no_byte_after_the_deadline_through_tls() -> None:
    """The fence is looked at before each write to a client that speaks TLS, too."""
    with world(limits=Limits(client_tls=SERVER)) as w:
        w.desk.serve_until(w.clock.now_s + 10)
        client, upstream = joined(w)
        upstream.send(b"too late")
        w.clock.now_s += 10
        w.desk.pump.step(0.1)
        assert w.desk.counters().ended == {Ending.SELF_FENCE: 1}
        assert not client.read()


def test_a_reader_that_stops_bounds_memory_with_tls() -> None:
    """Towards a client that does not read the upstream is soon blocked; the side keeps less than
    a few records."""
    with world(limits=Limits(client_tls=SERVER)) as w:
        _, upstream = joined(w)
        sent = 0
        for _ in range(20_000):
            try:
                sent += upstream.send(bytes(1 << 16))
            except BlockingIOError:
                if w.desk.step(0.002) == 0 and not w.desk.pump.has_unfinished:
                    break
        else:
            raise AssertionError(f"no end of it: {sent} bytes")
        (session,) = w.desk.floor.sessions
        assert session.secure is not None
        assert len(session.secure.client.to_send) < 1 << 16


@pytest.mark.parametrize(
    "rubbish", [b"GET / HTTP/1.1\r\n\r\n", b"\x60\x60\xb0\x17" * 5, b"\x16\x03"]
)
def test_who_does_not_speak_tls_is_refused(rubbish: bytes) -> None:
    """Plain bytes, or half a handshake, are refused with a reason; nobody is dialled for them."""
    with world(limits=Limits(client_tls=SERVER, greeting_s=5)) as w:
        server = w.server()
        w.route(1, server.upstream())
        client = w.client()
        client.send(rubbish)
        w.settle()
        w.pass_time(5)
        (reason,) = w.desk.counters().refused
        assert reason in (Refusal.TLS_HANDSHAKE, Refusal.GREETING_TIMEOUT)
        assert server.poll() == 0


def test_old_tls_is_refused() -> None:
    """A client that speaks no more than TLS 1.1 is refused."""
    with world(limits=Limits(client_tls=SERVER)) as w:
        context = client_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLS"):
            context.minimum_version = ssl.TLSVersion.TLSv1
        with pytest.warns(DeprecationWarning, match="TLS"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        client = Speaker.client(w, w.client(), context)

        def is_refused() -> bool:
            with suppress(ssl.SSLError):
                client.does(client.tls.do_handshake)
            return bool(w.desk.counters().refused)

        w.until(is_refused)
        assert w.desk.counters().refused == {Refusal.TLS_HANDSHAKE: 1}


@pytest.mark.parametrize("has_certificate", [False, True])
def test_client_certificates(has_certificate: bool) -> None:
    """With an authority for clients only who shows its certificate is served."""
    tls = attrs.evolve(SERVER, client_ca_path=CA)
    with world(limits=Limits(client_tls=tls)) as w:
        if has_certificate:
            files = {"cert": str(CERTS / "client.pem"), "key": str(CERTS / "client.key")}
            client, upstream = joined(w, client_context(**files))
            client.tls.write(b"hello")
            client.move()
            assert w.receive(upstream, 5) == b"hello"
            return
        client = Speaker.client(w, w.client(), client_context())

        def is_refused() -> bool:
            with suppress(ssl.SSLError):
                client.does(client.tls.do_handshake)
            return bool(w.desk.counters().refused)

        w.until(is_refused)
        assert w.desk.counters().refused == {Refusal.TLS_HANDSHAKE: 1}


def test_a_renewed_certificate_is_used(tmp_path: Path) -> None:
    """After the files changed a new handshake shows the new certificate; running sessions go on;
    files that make no sense leave the last good ones in use."""
    files = ClientTls(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"))
    shutil.copy(CERTS / "server.pem", files.cert_path)
    shutil.copy(CERTS / "server.key", files.key_path)
    with world(limits=Limits(client_tls=files)) as w:
        w.pass_time(LOOK_AGAIN_S)
        first, upstream = joined(w)
        _replace(CERTS / "renewed.pem", files.cert_path)
        _replace(CERTS / "renewed.key", files.key_path)
        w.pass_time(LOOK_AGAIN_S)
        second, _ = joined(w)
        serials = [_serial(speaker) for speaker in (first, second)]
        assert serials[0] != serials[1]
        Path(files.cert_path).write_text("rubbish")
        w.pass_time(LOOK_AGAIN_S)
        third, _ = joined(w)
        assert _serial(third) == serials[1]
        first.tls.write(b"still here")
        first.move()
        assert w.receive(upstream, 10) == b"still here"


def _replace(source: Path, target: str) -> None:
    shutil.copy(source, target + ".new")
    os.rename(target + ".new", target)


def _serial(speaker: Speaker) -> object:
    certificate = speaker.tls.getpeercert()
    assert certificate is not None
    return certificate["serialNumber"]


@pytest.mark.parametrize("name", ["memgraph-0", "memgraph-9"])
def test_an_upstream_is_verified(name: str) -> None:
    """An instance whose certificate does not name it gets no session: the dial failed."""
    limits = Limits(upstream_tls=UpstreamTls(is_verified=True, ca_path=CA), hold_s=5)
    with world(limits=limits) as w:
        server = w.server()
        w.route(1, server.upstream(name))
        client = w.client()
        client.send(b"hello")
        w.until(lambda: server.poll())
        speaker = Speaker.server(w, server.accepted[0])
        if name == "memgraph-0":
            w.until(lambda: speaker.does(speaker.tls.do_handshake) and w.asked)
            w.confirm_all()
            assert speaker.receive(5) == b"hello"
            return

        def has_failed() -> bool:
            with suppress(ssl.SSLError):
                speaker.does(speaker.tls.do_handshake)
            return bool(w.desk.counters().dial_failures)

        w.until(has_failed)
        w.pass_time(5)
        assert w.desk.counters().refused == {Refusal.DIAL_FAILED: 1}


def v2(command: int, family: int, payload: bytes) -> bytes:
    head = struct.pack("!BBH", 0x20 | command, family, len(payload))
    return proxy_header.V2_START + head + payload


TCP4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 1, 2)
TCP6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2 + struct.pack("!HH", 1, 2)
GOOD = {
    b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 7687\r\n": "192.0.2.7",
    b"PROXY TCP6 2001:db8::7 2001:db8::1 5000 7687\r\n": "2001:db8::7",
    b"PROXY UNKNOWN\r\n": "",
    b"PROXY UNKNOWN whatever it wants to say\r\n": "",
    v2(1, 0x11, TCP4): "192.0.2.7",
    v2(1, 0x21, TCP6): "2001:db8::7",
    v2(1, 0x11, TCP4 + b"\x04\x00\x01x"): "192.0.2.7",
    v2(0, 0x00, b""): "",
    v2(1, 0x00, b"abc"): "",
}
BAD = [
    b"PROXY TCP4 192.0.2.7 192.0.2.1 5000\r\n",
    b"PROXY TCP4 2001:db8::7 192.0.2.1 5000 7687\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 99999\r\n",
    b"PROXY TCP4 192.0.2.777 192.0.2.1 5000 7687\r\n",
    b"PROXY  TCP4 192.0.2.7 192.0.2.1 5000 7687\r\n",
    b"PROXY UNKNOWN" + b"x" * 107,
    v2(2, 0x11, TCP4),
    v2(1, 0x11, TCP4[:8]),
    v2(1, 0x12, TCP4),
    v2(1, 0x31, bytes(216)),
    proxy_header.V2_START + struct.pack("!BBH", 0x21, 0x11, 60_000),
    proxy_header.V2_START + struct.pack("!BBH", 0x11, 0x11, 12) + TCP4,
]


@pytest.mark.parametrize("header", GOOD, ids=range(len(GOOD)))
@pytest.mark.parametrize("is_split", [False, True])
def test_a_proxy_header_is_taken_off(header: bytes, is_split: bool) -> None:
    """Whole or in single bytes, exactly the header is taken off, and its address is believed."""
    limits = Limits(proxy_protocol=ProxyProtocol.REQUIRE, rate_per_s=1.0)
    with world(limits=limits) as w:
        server = w.server()
        w.route(1, server.upstream())
        client = w.client()
        stream = header + b"payload"
        for piece in (bytes([b]) for b in stream) if is_split else (stream,):
            client.send(piece)
            w.desk.step(0.002 if is_split else 0)
        w.until(lambda: server.poll() and w.asked)
        w.confirm_all()
        assert w.receive(server.accepted[0], 7) == b"payload"
        (session,) = w.desk.floor.sessions
        assert session.peer == (GOOD[header] or "127.0.0.1")


@pytest.mark.parametrize("header", BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("mode", [ProxyProtocol.ACCEPT, ProxyProtocol.REQUIRE])
def test_a_bad_proxy_header_is_refused(header: bytes, mode: ProxyProtocol) -> None:
    """What begins like a header and is none is refused with its reason, in either mode."""
    with world(limits=Limits(proxy_protocol=mode)) as w:
        server = w.server()
        w.route(1, server.upstream())
        client = w.client()
        client.send(header)
        w.until(lambda: w.desk.counters().refused)
        assert w.desk.counters().refused == {Refusal.PROXY_HEADER: 1}
        assert server.poll() == 0


def test_a_header_is_optional_or_not() -> None:
    """A client without a header is served where it is accepted, refused where it is required."""
    for mode in (ProxyProtocol.ACCEPT, ProxyProtocol.REQUIRE):
        with world(limits=Limits(proxy_protocol=mode)) as w:
            server = w.server()
            w.route(1, server.upstream())
            client = w.client()
            client.send(b"\x60\x60\xb0\x17 bolt")
            if mode is ProxyProtocol.REQUIRE:
                w.until(lambda w=w: w.desk.counters().refused)
                assert w.desk.counters().refused == {Refusal.PROXY_HEADER: 1}
            else:
                w.until(lambda s=server, w=w: s.poll() and w.asked)
                w.confirm_all()
                assert w.receive(server.accepted[0], 9) == b"\x60\x60\xb0\x17 bolt"


def test_a_slow_header_ends() -> None:
    """Slow loris: who has not finished his header within greeting_s is refused, and had a place
    only for so long."""
    with world(limits=Limits(proxy_protocol=ProxyProtocol.ACCEPT, greeting_s=5)) as w:
        client = w.client()
        for byte in b"PROXY":
            client.send(bytes([byte]))
            w.settle(2)
            w.pass_time(0.9)
        assert w.desk.counters().active == 1
        w.pass_time(1)
        assert w.desk.counters().refused == {Refusal.GREETING_TIMEOUT: 1}


def test_no_bytes_are_a_header_or_an_error() -> None:
    """Fuzz: any bytes are a header within its limits, not yet one, or refused; never anything
    else, and never longer than what was seen."""
    dice = random.Random(5)
    good = list(GOOD)
    for _ in range(20_000):
        seen = bytearray(dice.choice(good))
        for _ in range(dice.randrange(4)):
            seen[dice.randrange(len(seen))] = dice.randrange(256)
        seen = seen[: dice.randrange(len(seen) + 1)]
        with suppress(proxy_header.BadHeader):
            header = proxy_header.parse(bytes(seen), is_required=dice.random() < 0.5)
            assert header is None or 0 <= header.size_bytes <= len(seen)
