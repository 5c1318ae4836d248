"""A gateway's desk on real loopback sockets with a clock that only the test moves.

The desk is driven by hand (`until`): no thread, no trio, no sleep. `until` has a bound of steps,
so that what never becomes true fails instead of hanging.
"""

import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from gateway import wire
from gateway.desk import Desk
from gateway.route import Kind, Limits, Route, Upstream

STEPS_MAX = 2000
STEP_S = 0.005
LINGER_NOTHING = struct.pack("ii", 1, 0)


class FakeClock:
    """Monotonic seconds that pass when told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Server:
    """An upstream that takes connections and does nothing else by itself."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1200)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.accepted: list[socket.socket] = []

    def upstream(self, instance: str = "memgraph-0", incarnation: int = 1) -> Upstream:
        return Upstream(instance, incarnation, "127.0.0.1", self.port)

    def poll(self) -> int:
        """Take who is in the backlog; how many connections there were in all."""
        while True:
            try:
                sock, _ = self.listener.accept()
            except (BlockingIOError, OSError):
                return len(self.accepted)
            sock.setblocking(False)
            self.accepted.append(sock)

    def close(self) -> None:
        self.listener.close()
        for sock in self.accepted:
            sock.close()


class World:
    """One desk, its clients and its upstreams."""

    def __init__(self, kind: Kind = Kind.RW, limits: Limits | None = None) -> None:
        self.clock = FakeClock()
        self.asked: list[Upstream] = []
        self.desk = Desk(
            kind, limits or Limits(), need_confirmation=self.asked.append, clock=self.clock
        )
        listener = wire.listen("127.0.0.1", 0)
        self.address = listener.getsockname()
        self.desk.door.open(listener)
        self.servers: list[Server] = []
        self.clients: list[socket.socket] = []

    def server(self) -> Server:
        server = Server()
        self.servers.append(server)
        return server

    def silent_server(self) -> Server:
        """One that answers no dial: its backlog is full, and the kernel drops what comes next."""
        server = self.server()
        server.listener.listen(0)
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", server.port))
            self.clients.append(filler)
        return server

    def client(self) -> socket.socket:
        sock = socket.create_connection(self.address)
        sock.setblocking(False)
        self.clients.append(sock)
        return sock

    def route(self, term: int, *upstreams: Upstream) -> int:
        return self.desk.apply(Route(term, upstreams, "as the test wants"))

    def until(self, condition: Callable[[], object], what: str = "it never became true") -> None:
        for _ in range(STEPS_MAX):
            if condition():
                return
            self.desk.step(0 if self.desk.pump.has_unfinished else STEP_S)
        raise AssertionError(what)

    def settle(self, batches: int = 20) -> None:
        """Give what must *not* happen its chance to happen."""
        for _ in range(batches):
            self.desk.step(0.001)

    def pass_time(self, seconds: float) -> None:
        self.clock.now_s += seconds
        self.desk.tick()

    def confirm_all(self) -> None:
        """What the verifier does: ask now, hear the answer, say so."""
        while self.asked:
            self.desk.confirm(self.asked.pop().key, self.clock.now_s)

    def joined(self, server: Server) -> tuple[socket.socket, socket.socket]:
        """A relayed session: (client's socket, upstream's socket)."""
        before = server.poll()
        client = self.client()
        self.until(lambda: server.poll() > before and self.asked, "the client was not dialled for")
        self.confirm_all()
        return client, server.accepted[-1]

    def receive(self, sock: socket.socket, size: int) -> bytes:
        """Exactly so many bytes."""
        got = bytearray()

        def enough() -> bool:
            data = try_recv(sock, size - len(got))
            got.extend(data or b"")
            return len(got) >= size or data == b""

        self.until(enough, f"{size} bytes never came")
        return bytes(got)

    def close(self) -> None:
        for pipe in self.desk.pump.mover.pipes._free:
            with suppress(BlockingIOError):
                raise AssertionError(f"a pooled pipe held {os.read(pipe.read_fd, 10)!r}")
        self.desk.close()
        for sock in self.clients:
            sock.close()
        for server in self.servers:
            server.close()


@contextmanager
def world(kind: Kind = Kind.RW, limits: Limits | None = None) -> Iterator[World]:
    """A world, and afterwards the proof that it left no descriptor and no pipe behind."""
    before = descriptors()
    made = World(kind, limits)
    try:
        yield made
    finally:
        made.close()
    assert made.desk.pump.mover.pipes.open_count == 0
    assert descriptors() == before
    numbers = made.desk.counters()
    assert numbers.active == numbers.held == 0
    assert numbers.accepted == sum(numbers.refused.values()) + sum(numbers.ended.values())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def try_recv(sock: socket.socket, size: int = 65536) -> bytes | None:
    """Bytes, b"" at the end or after a reset, None when nothing is there."""
    try:
        return sock.recv(size)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        return b""


def is_reset(sock: socket.socket) -> bool:
    """Whether the peer reset us (not: closed in an orderly way)."""
    try:
        sock.recv(1)
    except ConnectionResetError:
        return True
    except BlockingIOError:
        return False
    return False


def has_ended(sock: socket.socket) -> bool:
    """Whether the peer ended the connection, in order or by a reset."""
    return try_recv(sock) == b""


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOTHING)
    sock.close()


def closed_port() -> int:
    """A port of 127.0.0.1 where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
