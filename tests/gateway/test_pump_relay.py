"""Bytes: whole, in order, both ways, whatever the chunks, stalls and endings are."""

import fcntl
import gc
import hashlib
import random
import socket
from contextlib import suppress
from functools import partial

import pytest
from gateway_world import World, reset, try_recv, world
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import bulk, mover, pipes
from gateway.link import SMALL_BYTES, End, Watch
from gateway.reasons import Ending
from gateway.route import Kind, Limits
from gateway.session import Session


class Flow:
    """One direction: pushes a payload in random chunks, and reads it in random sizes."""

    def __init__(self, source: socket.socket, sink: socket.socket, size: int, seed: int) -> None:
        self._dice = random.Random(seed)
        self.payload = self._dice.randbytes(min(size, 1 << 20)) * max(1, size >> 20)
        self._source, self._sink = source, sink
        self._sent = 0
        self.digest = hashlib.sha256()
        self.received = 0
        self.is_over = False

    def turn(self) -> bool:
        """Push and read a little; True when the sink saw the end."""
        dice = self._dice
        if self._sent < len(self.payload) and dice.random() < 0.8:
            chunk = dice.choice((1, 100, 4096, 65536, 1 << 20))
            view = memoryview(self.payload)[self._sent : self._sent + chunk]
            with suppress(BlockingIOError):
                self._sent += self._source.send(view)
            if self._sent == len(self.payload):
                self._source.shutdown(socket.SHUT_WR)
        if not self.is_over and dice.random() < 0.8:  # otherwise the reader stalls
            data = try_recv(self._sink, dice.choice((1, 1000, 65536, 1 << 20)))
            if data == b"":
                self.is_over = True
            elif data:
                self.digest.update(data)
                self.received += len(data)
        return self.is_over

    def is_whole(self) -> bool:
        return self.digest.digest() == hashlib.sha256(self.payload).digest()


def _run(w: World, *flows: Flow) -> None:
    for _ in range(200_000):
        w.desk.step(0)
        turns = [flow.turn() for flow in flows]  # each of them has its turn
        if all(turns):
            break
    w.until(lambda: w.desk.counters().active == 0)
    assert all(flow.is_whole() for flow in flows)


@pytest.mark.parametrize("seed", range(4))
def test_random_chunks_and_stalls(seed: int) -> None:
    """Two flows at one time arrive whole and end in order, however they are cut up."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        up = Flow(client, upstream, 3 << 20, seed)
        down = Flow(upstream, client, 2 << 20, seed + 100)
        _run(w, up, down)
        numbers = w.desk.counters()
        assert numbers.bytes_up == len(up.payload)
        assert numbers.bytes_down == len(down.payload)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_bulk_is_whole(direction: str) -> None:
    """64 MiB one way through pipes arrive whole, and the pipes are back afterwards."""
    size = 64 << 20
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        source, sink = (client, upstream) if direction == "up" else (upstream, client)
        chunk = random.Random(1).randbytes(1 << 20)
        sent, got, digest = 0, 0, hashlib.sha256()
        while got < size:
            w.desk.step(0)
            if sent < size:
                with suppress(BlockingIOError):
                    sent += source.send(memoryview(chunk)[sent % len(chunk) :])
            data = try_recv(sink, 1 << 20)
            digest.update(data or b"")
            got += len(data or b"")
            assert data != b""
        assert got == sent == size
        assert digest.digest() == hashlib.sha256(chunk * 64).digest()
        assert w.desk.pump.mover.pipes.open_count >= 1, "the flow never used a pipe"


@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize("beside", [-1, 0, 1])
@pytest.mark.parametrize("read_bytes", [SMALL_BYTES, mover.READ_BYTES])
def test_a_message_as_long_as_a_read(read_bytes: int, beside: int, *, is_last: bool) -> None:
    """A read that was filled is followed by another one, also when the end came with the bytes;
    an end that has sent more than a small read takes is read in large ones from then on."""
    size = read_bytes + beside
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        for turn in range(1 if is_last else 3):
            message = random.Random(turn).randbytes(size)
            client.sendall(message)
            if is_last:
                client.shutdown(socket.SHUT_WR)
            assert w.receive(upstream, size) == message
        if is_last:
            w.until(lambda: try_recv(upstream) == b"")
        else:
            (session,) = w.desk.floor.sessions
            expected = SMALL_BYTES if size < SMALL_BYTES else mover.READ_BYTES
            assert session.client.read_bytes == expected
            assert session.ends[1].read_bytes == SMALL_BYTES


@pytest.mark.parametrize("first", ["client", "upstream"])
def test_half_close_first_by_either_side(first: str) -> None:
    """Who ends first still gets every byte of a long answer, and is named as the one who closed."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        ending, other = (client, upstream) if first == "client" else (upstream, client)
        ending.send(b"last words")
        ending.shutdown(socket.SHUT_WR)
        assert w.receive(other, 10) == b"last words"
        w.until(lambda: try_recv(other) == b"")
        flow = Flow(other, ending, 4 << 20, 7)
        for _ in range(100_000):
            w.desk.step(0)
            if flow.turn():
                break
        assert flow.is_whole()
        w.until(lambda: w.desk.counters().active == 0)
        expected = Ending.CLIENT_CLOSED if first == "client" else Ending.UPSTREAM_CLOSED
        assert w.desk.counters().ended == {expected: 1}


@pytest.mark.parametrize("first", ["client", "upstream"])
def test_both_sides_see_an_end_and_no_reset(first: str) -> None:
    """Whoever ends first, and however long before the other: both see an end, never a reset."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        client.send(b"question")
        w.receive(upstream, 8)
        upstream.send(b"answer")
        w.receive(client, 6)
        sides = (client, upstream) if first == "client" else (upstream, client)
        sides[0].shutdown(socket.SHUT_WR)
        w.until(lambda: is_over(sides[1]))
        w.settle()
        sides[1].shutdown(socket.SHUT_WR)
        w.until(lambda: is_over(sides[0]))
        w.settle()
        assert [s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for s in sides] == [0, 0]
        assert is_over(client)
        assert is_over(upstream)


def is_over(sock: socket.socket) -> bool:
    """Whether the end was seen. A reset raises."""
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False


def test_full_close_right_after_sending() -> None:
    """A server that answers and closes at once loses nothing of its answer."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        payload = bytes(200_000)
        upstream.setblocking(True)
        upstream.send(payload)
        upstream.close()
        assert len(w.receive(client, len(payload))) == len(payload)


def test_a_reader_that_never_reads_bounds_memory() -> None:
    """Towards a client that does not read the upstream is soon blocked, the session owns one pipe,
    and another session is not disturbed."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        _, upstream = w.joined(server)
        sent = 0
        for _ in range(3000):
            try:
                sent += upstream.send(bytes(1 << 18))
            except BlockingIOError:
                if w.desk.step(0.002) == 0 and not w.desk.pump.has_unfinished:
                    break
        else:
            raise AssertionError(f"no end of it: {sent} bytes")
        assert sent < 100 << 20  # the kernel's buffers of two connections
        assert w.desk.pump.mover.pipes.open_count <= 2
        assert w.desk.step(0) == 0  # blocked is quiet: no spinning
        other, its_upstream = w.joined(server)
        other.send(b"me too")
        assert w.receive(its_upstream, 6) == b"me too"


def test_idle_sessions_own_nothing() -> None:
    """After a bulk flow has run dry the session holds no pending bytes; the pipe is pooled and
    serves the next flow."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        for _ in range(3):
            flow = random.Random(3).randbytes(1 << 20)
            sent = 0
            got = bytearray()
            while len(got) < len(flow):
                if sent < len(flow):
                    with suppress(BlockingIOError):
                        sent += client.send(memoryview(flow)[sent:])
                w.desk.step(0)
                got += try_recv(upstream) or b""
            assert bytes(got) == flow
        w.settle(3)
        assert w.desk.pump.mover.pipes.open_count <= 2
        assert all(end.pending is None for s in w.desk.floor.sessions for end in s.ends)


@pytest.mark.parametrize("side", ["client", "upstream"])
@pytest.mark.parametrize("phase", ["quiet", "blocked", "half-closed"])
def test_reset_at_any_phase(side: str, phase: str) -> None:
    """A reset of one side resets the other, with that side's name, and leaves nothing."""
    with world(Kind.RO) as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        broken, other = (client, upstream) if side == "client" else (upstream, client)
        if phase == "blocked":
            while True:
                try:
                    other.send(bytes(1 << 18))
                except BlockingIOError:
                    if w.desk.step(0.005) == 0 and not w.desk.pump.has_unfinished:
                        break
        elif phase == "half-closed":
            other.shutdown(socket.SHUT_WR)
            w.until(lambda: try_recv(broken) == b"")
        reset(broken)
        w.until(lambda: w.desk.counters().active == 0)
        assert w.desk.counters().ended == {f"{side}_error": 1}
        assert try_recv(other) == b""


def test_without_pipes_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of descriptors a bulk flow is relayed by recv and send, whole."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        monkeypatch.setattr(w.desk.pump.mover.pipes, "maybe_take", lambda: None)
        _run(w, Flow(client, upstream, 3 << 20, 1), Flow(upstream, client, 1 << 20, 2))


def test_one_turn_is_bounded() -> None:
    """A flow that never runs dry gives others their turn after TURN_ROUNDS reads, or TURN_BYTES."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        while True:
            try:
                client.send(bytes(1 << 20))
            except BlockingIOError:
                break
        w.desk.step(0.1)
        moved = w.desk.counters().bytes_up
        bound = mover.READ_BYTES * mover.TURN_ROUNDS + bulk.TURN_BYTES + pipes.PIPE_BYTES
        assert 0 < moved <= bound
        assert try_recv(upstream)


@pytest.mark.parametrize(("asked", "bound"), [(4096, 4096), (100_000, 1 << 16), (1 << 20, 1 << 20)])
def test_a_buffer_is_bounded(asked: int, bound: int) -> None:
    """GATEWAY_BUFFER_SIZE: of one direction whose reader stalls the relay holds no more than that,
    rounded down to a power of two, and what it held arrives whole."""
    with world(limits=Limits(buffer_bytes=asked)) as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        sent = 0
        while True:
            try:
                sent += client.send(bytes(1 << 16))
            except BlockingIOError:
                if w.desk.step(0.005) == 0 and not w.desk.pump.has_unfinished:
                    break
        (session,) = w.desk.floor.sessions
        pending = session.ends[1].pending
        assert pending is not None
        assert pending.pipe is not None
        size = fcntl.fcntl(pending.pipe.write_fd, fcntl.F_GETPIPE_SZ)
        assert pending.left_bytes <= size == bound
        assert len(w.receive(upstream, sent)) == sent


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["up", "down"]), st.integers(1, 150_000), st.integers(0, 3)),
        max_size=25,
    ),
    st.booleans(),
)
def test_equals_a_trivial_relay(script: list[tuple[str, int, int]], client_ends: bool) -> None:
    """Whatever is sent in whatever order, each side receives what a bytearray between them would
    have given, then the end."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        sides = {"up": (client, upstream), "down": (upstream, client)}
        model = {"up": bytearray(), "down": bytearray()}
        got = {"up": bytearray(), "down": bytearray()}
        dice = random.Random(len(script))
        for way, size, batches in script:
            try:
                sent = sides[way][0].send(data := dice.randbytes(size))
            except BlockingIOError:
                sent = 0
            model[way] += data[:sent]
            for _ in range(batches):
                w.desk.step(0)
            if batches > 1:
                got[way] += try_recv(sides[way][1]) or b""
        for way in ("up", "down") if client_ends else ("down", "up"):
            sides[way][0].shutdown(socket.SHUT_WR)
            while (data := w.receive(sides[way][1], 1)) != b"":
                got[way] += data + (try_recv(sides[way][1]) or b"")
        assert got == model


@pytest.mark.parametrize("how", ["orderly", "reset", "cut", "refused"])
def test_what_has_ended_is_free_at_once(how: str) -> None:
    """However a session ends, nothing of it is left in memory, without a run of the collector."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        gc.collect()
        gc.disable()
        try:
            for number in range(5):
                if how == "refused":
                    w.route(1)
                    w.client().close()
                    w.until(partial(_has_refused, w, number + 1))
                    continue
                client, upstream = w.joined(server)
                client.send(b"question")
                w.receive(upstream, 8)
                if how == "cut":
                    w.route(number + 2, server.upstream())
                elif how == "reset":
                    reset(client)
                else:
                    client.close()
                    w.until(partial(_is_over, upstream))
                    upstream.close()
                w.until(lambda: w.desk.counters().active == 0)
            w.pass_time(2)  # young ones are remembered for a second
            left = [o for o in gc.get_objects() if isinstance(o, End | Session)]
            assert [o for o in left if not isinstance(o, Watch)] == []
        finally:
            gc.enable()


def _has_refused(w: World, clients: int) -> bool:
    return sum(w.desk.counters().refused.values()) == clients


def _is_over(sock: socket.socket) -> bool:
    return try_recv(sock) == b""
