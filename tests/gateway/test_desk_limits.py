"""Fence, idle timeout, byte limit, descriptors: what ends sessions though nobody erred."""

import errno
import os
import resource
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import cast

import pytest
from gateway_world import closed_port, has_ended, try_recv, world

from gateway import floor, wire
from gateway.errors import IllegalMove
from gateway.link import BULK, Link, Owner
from gateway.pump import TABLE_GROWTH, Pump
from gateway.reasons import Ending, Refusal
from gateway.route import Limits, Upstream
from gateway.session import MOVES, Session, State
from gateway.targets import RETRY_S, RETRY_WITH_OTHERS_S, Targets


def test_no_byte_after_the_deadline() -> None:
    """F10: answers that wait in the kernel when a stopped process goes on are not forwarded once
    the deadline has passed; the session is cut."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        w.desk.serve_until(w.clock.now_s + 10)
        client, upstream = w.joined(server)
        upstream.send(b"too late")
        w.clock.now_s += 10
        w.until(lambda: w.desk.counters().active == 0)
        assert has_ended(client)
        assert w.desk.counters().bytes_down == 0
        assert w.desk.counters().ended == {Ending.SELF_FENCE: 1}


@pytest.mark.parametrize("bytes_max", [None, 1 << 20], ids=["short way", "long way"])
def test_the_deadline_is_checked_within_a_batch(bytes_max: int | None) -> None:
    """The pump itself looks at the clock before each write to a client, on the short way and on
    the long one (of limited sessions): a process that is stopped after the batch began forwards
    nothing either."""
    with world(limits=Limits(session_bytes_max=bytes_max)) as w:
        server = w.server()
        w.route(1, server.upstream())
        w.desk.serve_until(w.clock.now_s + 10)
        client, upstream = w.joined(server)
        upstream.send(b"too late")
        w.clock.now_s += 10
        w.desk.pump.step(0.1)  # past the check of the desk
        assert has_ended(client)
        assert w.desk.counters().bytes_down == 0


@pytest.mark.parametrize("is_bulk", [False, True])
def test_blocked_bytes_do_not_pass_the_deadline(is_bulk: bool) -> None:
    """What waited for a slow client, in memory or in a pipe, is dropped at the deadline."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        w.desk.serve_until(w.clock.now_s + 10)
        client, upstream = w.joined(server)
        while True:
            try:
                upstream.send(bytes(1 << 18 if is_bulk else 1000))
            except BlockingIOError:
                if w.desk.step(0.005) == 0 and not w.desk.pump.has_unfinished:
                    break
        passed = w.desk.counters().bytes_down
        w.clock.now_s += 10
        while try_recv(client):
            w.desk.pump.step(0)
        w.until(lambda: w.desk.counters().active == 0)
        assert w.desk.counters().bytes_down == passed


def test_the_fence_refuses_until_a_later_deadline() -> None:
    """Past the deadline new clients and waiting ones are refused as self_fence; with a later
    deadline the gateway serves again."""
    with world() as w:
        server = w.server()
        w.desk.serve_until(w.clock.now_s + 10)
        held = w.client()
        w.until(lambda: w.desk.counters().held == 1)
        w.pass_time(10)
        assert try_recv(held) == b""
        w.route(1, server.upstream())
        w.client()
        w.until(lambda: w.desk.counters().refused[Refusal.SELF_FENCE] == 2)
        w.desk.serve_until(w.clock.now_s + 10)
        w.joined(server)


def test_a_late_renewal_does_not_revive() -> None:
    """A deadline that is set after the old one has passed cuts first."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        w.desk.serve_until(w.clock.now_s + 10)
        client, _ = w.joined(server)
        w.clock.now_s += 11
        w.desk.serve_until(w.clock.now_s + 10)
        assert has_ended(client)


def test_an_unconfirmed_session_is_not_released_past_the_deadline() -> None:
    """An answer of the verifier that comes after the deadline releases nobody."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        w.desk.serve_until(w.clock.now_s + 10)
        client = w.client()
        client.send(b"late")
        w.until(lambda: server.poll() and w.asked)
        w.clock.now_s += 10
        w.confirm_all()
        assert w.desk.counters().refused == {Refusal.SELF_FENCE: 1}
        assert not try_recv(server.accepted[0])


def test_a_refused_client_needs_no_place_in_the_table() -> None:
    """Who is refused at the door was not watched yet; his descriptor may be higher than any that
    was."""
    with world(limits=Limits(connections_max=1)) as w:
        w.client()
        w.until(lambda: w.desk.counters().held == 1)
        spare = [os.dup(0) for _ in range(2 * TABLE_GROWTH)]
        try:
            refused = w.client()
            w.until(lambda: try_recv(refused) == b"")
        finally:
            for fd in spare:
                os.close(fd)
        assert w.desk.counters().refused == {Refusal.MAX_CONNECTIONS: 1}


def test_idle_timeout_sees_activity() -> None:
    """A session with a message every four seconds outlives a timeout of five by far; one
    that is really idle does not; either direction counts as activity."""
    with world(limits=Limits(idle_timeout_s=5)) as w:
        server = w.server()
        w.route(1, server.upstream())
        idle, _ = w.joined(server)
        asking, asked = w.joined(server)
        hearing, speaking = w.joined(server)
        for second in range(40):
            if second % 4 == 0:
                asking.send(b"?")
                w.receive(asked, 1)
                speaking.send(b"!")
                w.receive(hearing, 1)
            w.pass_time(1)
        assert has_ended(idle)
        assert w.desk.counters().active == 2
        assert w.desk.counters().ended == {Ending.IDLE_TIMEOUT: 1}


def test_bytes_limit_ends_the_session() -> None:
    """A session that moved more than session_bytes_max, both ways together, is ended."""
    with world(limits=Limits(session_bytes_max=1000)) as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        client.send(bytes(600))
        w.receive(upstream, 600)
        upstream.send(bytes(400))
        w.receive(client, 400)
        assert w.desk.counters().active == 1
        client.send(b"1")
        w.until(lambda: w.desk.counters().active == 0)
        assert w.desk.counters().ended == {Ending.BYTES_LIMIT: 1}


@contextmanager
def _descriptors_run_out(spare: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(fd) for fd in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + spare, hard))
    fillers = []
    try:
        while True:
            try:
                fillers.append(os.dup(0))
            except OSError:
                break
        for _ in range(spare):
            os.close(fillers.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in fillers:
            os.close(fd)


def test_out_of_descriptors_does_not_spin() -> None:
    """With EMFILE at accept the loop is quiet, sessions go on, and later the client is served."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        client, upstream = w.joined(server)
        w.client()
        with _descriptors_run_out(0):
            w.settle(2)
            assert [w.desk.step(0) for _ in range(50)] == [0] * 50
            client.send(b"on")
            assert w.receive(upstream, 2) == b"on"
        w.pass_time(0.2)
        w.until(lambda: w.desk.counters().accepted == 2)
        w.until(lambda: server.poll() == 2)


def test_no_descriptor_for_the_dial_is_counted() -> None:
    """A client that could be accepted but not dialled for is refused as no_descriptors."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        w.client()
        with _descriptors_run_out(1):
            w.until(lambda: w.desk.counters().accepted == 1)
        assert w.desk.counters().refused == {Refusal.NO_DESCRIPTORS: 1}


class _Aborting:
    """A listener whose next accept fails as if the client had given up."""

    def __init__(self, listener: socket.socket, code: int) -> None:
        self._listener = listener
        self._code = code

    def _accept(self) -> tuple[int, object]:
        if self._code:
            code, self._code = self._code, 0
            raise OSError(code, os.strerror(code))
        return self._listener._accept()

    def __getattr__(self, name: str) -> object:
        return getattr(self._listener, name)


@pytest.mark.parametrize(
    "code", [errno.ECONNABORTED, errno.EPROTO, errno.EMFILE, errno.ENFILE, errno.ENOBUFS]
)
def test_a_client_that_gave_up_in_the_backlog(code: int) -> None:
    """ECONNABORTED and its like concern that client alone: the next one is served."""
    with world() as w:
        listener = w.desk.door._listener
        assert listener is not None
        w.desk.door._listener = _Aborting(listener, code)  # type: ignore[assignment]
        w.client()
        w.settle(2)
        w.pass_time(0.2)
        w.until(lambda: w.desk.counters().held == 1)


def test_sockets_have_their_options() -> None:
    """Both sides have keepalive, a user timeout of 30 s and no delay."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        w.joined(server)
        (session,) = w.desk.floor.sessions
        w.pass_time(floor.KEEP_AFTER_S + 0.1)
        for sock in (end.sock for end in session.ends):
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            timeout_ms = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert timeout_ms == wire.USER_TIMEOUT_MS == 30_000


def test_every_move_is_in_the_table() -> None:
    """Each pair of states is legal by a row or raises, and a refused move changes nothing."""
    with world() as w, socket.socket() as sock:
        for before in State:
            for after in State:
                session = Session(sock.fileno(), 0.0, w.desk, state=before)
                if after in MOVES[before]:
                    session.move(after)
                    assert session.state is after
                else:
                    with pytest.raises(IllegalMove):
                        session.move(after)
                    assert session.state is before


def test_one_trial_at_a_time() -> None:
    """An upstream that failed is chosen again after its pause, by one client only, until that one
    was answered; alone it is tried sooner than beside others."""
    targets = Targets()
    down = Upstream("memgraph-1", 1, "127.0.0.1", closed_port())
    targets.follow([down])
    (target,) = [targets.choose(0.0)]
    assert target is not None
    targets.failed(target, 0.0)
    assert targets.choose(RETRY_S / 2) is None
    assert targets.choose(RETRY_S) is target
    assert targets.choose(RETRY_S + 60) is None
    targets.answered(target)
    assert targets.choose(61.0) is target
    other = Upstream("memgraph-2", 1, "127.0.0.1", closed_port())
    targets.follow([down, other])
    targets.failed(target, 100.0)
    assert [targets.choose(100.0 + RETRY_S) is target for _ in range(2)] == [False, False]
    assert targets.choose(100.0 + RETRY_WITH_OTHERS_S) is target


def test_a_trial_whose_client_leaves_is_free_again() -> None:
    """When the one client that tries a failed upstream goes away, the next one tries at once."""
    with world() as w:
        silent = w.silent_server()
        w.route(1, silent.upstream())
        target = w.desk.hall.targets.choose(w.clock.now_s)
        assert target is not None
        w.desk.hall.targets.failed(target, w.clock.now_s)
        first = w.client()
        w.until(lambda: w.desk.counters().held == 1)
        w.pass_time(RETRY_S)
        assert w.desk.counters().active == 1
        first.close()
        w.until(lambda: w.desk.counters().active == 0)
        w.client()
        w.until(lambda: w.desk.counters().accepted == 2)
        assert w.desk.counters().active == 1


def test_bulk_that_meets_the_fence_leaves_no_bytes_in_a_pipe() -> None:
    """A pipe that was filled when the deadline passed is not handed to another session (the
    world looks into every pooled pipe at its end)."""
    with world() as w:
        server = w.server()
        w.route(1, server.upstream())
        w.desk.serve_until(w.clock.now_s + 10)
        client, upstream = w.joined(server)
        (link,) = w.desk.floor.sessions
        end = link.ends[1]
        while not end.flags & BULK:
            with suppress(BlockingIOError):
                upstream.send(bytes(1 << 20))
            w.desk.step(0)
        while w.desk.step(0.005) or w.desk.pump.has_unfinished or link.client.pending:
            try_recv(client, 1 << 20)
        end.flags |= BULK
        end.settle()
        upstream.send(b"filled before, due after")
        w.clock.now_s += 10
        w.desk.pump.step(0.1)
        assert not link.is_open


def _ignore_event(act: Callable[[int], None], me: int, _event: int) -> None:
    act(me)


def test_a_number_with_a_new_owner_gets_no_old_event() -> None:
    """An event of a descriptor that was closed earlier in the batch does not reach the socket
    that has its number now."""
    pump = Pump(clock=lambda: 0.0)
    pairs = [socket.socketpair() for _ in range(2)]
    opened: list[socket.socket] = []
    called: list[str] = []

    def replace_other(me: int) -> None:
        called.append("old")
        old = pairs[1 - me][0]
        number = old.fileno()
        pump.forget(old)
        old.close()
        fresh, peer = socket.socketpair()
        opened.extend((fresh, peer))
        assert number in (fresh.fileno(), peer.fileno())
        reused = fresh if fresh.fileno() == number else peer
        pump.watch(reused, select.EPOLLIN, lambda _event: called.append("stale"))

    for me, (near, far) in enumerate(pairs):
        pump.watch(near, select.EPOLLIN, partial(_ignore_event, replace_other, me))
        far.send(b"x")
    assert pump.step(0) == 2
    assert called == ["old"]
    pump.close()
    for sock in (*pairs[0], *pairs[1], *opened):
        sock.close()


@pytest.mark.parametrize("has_object", [False, True])
def test_a_closed_end_touches_no_stranger(has_object: bool) -> None:
    """The number of a closed descriptor may have a new owner: an end forgets it when it closes."""
    near, far = socket.socketpair()
    link = Link(near.detach(), cast(Owner, None))
    number = link.client.fd
    if has_object:
        assert link.client.sock.fileno() == number
    link.client.close()
    stranger, other = socket.socketpair()
    assert number in (stranger.fileno(), other.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(link.client.fd, b"x")
    with suppress(OSError):
        link.client.close()
    assert stranger.send(b"still open") == 10
    for sock in (far, stranger, other):
        sock.close()
