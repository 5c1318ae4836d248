"""Relay processes: real ones, that are told, killed, stopped, orphaned, and lied to."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import psutil
import trio
from gateway_world import Server, descriptors, has_ended, is_reset, try_recv

from gateway import ClientTls, Kind, Limits, Route, Upstream, Workers, messages
from gateway.counters import Counters

LATER_S = 60.0


@attrs.define(eq=False)
class Pod:
    """Workers with an upstream, clients, and a verifier that answers at once unless told not to."""

    workers: Workers
    server: Server
    kind: Kind = Kind.RW
    address: tuple[str, int] = ("", 0)
    marked: list[int] = attrs.Factory(list)
    over: list[messages.Over] = attrs.Factory(list)
    troubles: list[str] = attrs.Factory(list)
    clients: list[socket.socket] = attrs.Factory(list)

    @property
    def upstream(self) -> Upstream:
        return self.server.upstream()

    def route(self, term: int, *upstreams: Upstream, drain_until_s: float | None = None) -> None:
        self.workers.apply(
            self.kind, Route(term, upstreams, "as the test wants", drain_until_s=drain_until_s)
        )

    @property
    def counters(self) -> Counters:
        return self.workers.counters(self.kind)

    async def until(self, condition: Callable[[], object]) -> None:
        """The caller has a deadline."""
        while not condition():
            await trio.sleep(0.005)

    async def numbers_came(self) -> None:
        """The worker has told its numbers once more."""
        before = self.workers._slots[0].counters.get(self.kind)
        await self.until(lambda: self.workers._slots[0].counters.get(self.kind) is not before)

    async def joined(self) -> tuple[socket.socket, socket.socket]:
        """A session that has carried a question and its answer."""
        before = self.server.poll()
        client = socket.create_connection(self.address)
        client.setblocking(False)
        self.clients.append(client)
        client.send(b"?")
        await self.until(lambda: self.server.poll() > before)
        upstream = self.server.accepted[-1]
        await self.until(lambda: try_recv(upstream) == b"?")
        upstream.send(b"!")
        await self.until(lambda: try_recv(client) == b"!")
        return client, upstream


@asynccontextmanager
async def pod(
    count: int = 1,
    limits: Limits | None = None,
    *,
    kind: Kind = Kind.RW,
    tells_sessions: bool = False,
) -> AsyncIterator[Pod]:
    """Open RW (or RO, then of that one) to one upstream in term 1; afterwards no process and no
    descriptor is left."""
    before = descriptors()
    made: Pod

    def need(kind: Kind, instance: str, incarnation: int) -> None:
        made.workers.confirm(kind, made.upstream, trio.current_time())

    with trio.fail_after(30):
        workers = Workers(
            {each: limits if limits and each is kind else Limits() for each in Kind},
            count,
            on_need=need,
            on_marked=lambda number: made.marked.append(number),
            on_over=(lambda over: made.over.append(over)) if tells_sessions else None,
            on_trouble=lambda text: made.troubles.append(text),
        )
        made = Pod(workers, Server(), kind)
        made.workers.serve_until(kind, trio.current_time() + LATER_S)
        made.route(1, made.upstream)
        here = {Kind.RW: ("127.0.0.1", 0), Kind.RO: ("127.0.0.1", 0)}
        async with trio.open_nursery() as nursery:
            made.address = (await nursery.start(workers.run, here))[kind]
            try:
                yield made
            finally:
                nursery.cancel_scope.cancel()
                for client in made.clients:
                    client.close()
                made.server.close()
    assert not workers.pids
    assert descriptors() == before


async def test_a_worker_relays_and_counts() -> None:
    """Bytes go through another process, and its numbers come back."""
    async with pod() as p:
        await p.joined()
        await p.until(lambda: p.counters.bytes_down == 1)
        assert (p.counters.accepted, p.counters.active, p.counters.term) == (1, 1, 1)
        assert p.counters.sessions == {"memgraph-0": 1}
        assert p.workers.pids[0] != os.getpid()


async def test_a_mark_comes_after_the_cut() -> None:
    """When a mark is told, every client of an older term has seen its end already: with an
    answer outstanding a reset, between two requests an orderly one."""
    async with pod() as p:
        idle, idle_upstream = await p.joined()
        busy, busy_upstream = await p.joined()
        busy.send(b"write")
        await p.until(lambda: try_recv(busy_upstream) == b"write")
        p.route(2)
        p.workers.mark(7)
        await p.until(lambda: p.marked)
        assert p.marked == [7]
        assert is_reset(busy)
        assert try_recv(idle) == b""
        assert is_reset(busy_upstream)
        assert is_reset(idle_upstream)


async def test_a_mark_waits_for_the_drain() -> None:
    """A drained session that has an answer outstanding goes on until it has it; only then the mark
    is told."""
    async with pod() as p:
        client, upstream = await p.joined()
        client.send(b"last question")
        await p.until(lambda: try_recv(upstream))
        p.route(2, drain_until_s=trio.current_time() + 20)
        p.workers.mark(3)
        await p.numbers_came()
        await p.numbers_came()  # whole ticks went by: what must not happen had its chance
        assert not p.marked
        upstream.send(b"last answer")
        await p.until(lambda: try_recv(client) == b"last answer")
        await p.until(lambda: p.marked)
        assert has_ended(client)
        await p.until(lambda: p.counters.ended.get("drained") == 1)


async def test_a_drain_has_a_deadline() -> None:
    """Who still waits for an answer at the deadline of the drain is cut."""
    async with pod() as p:
        client, upstream = await p.joined()
        client.send(b"question")
        await p.until(lambda: try_recv(upstream))
        p.route(2, drain_until_s=trio.current_time() + 0.1)
        p.workers.mark(3)
        await p.until(lambda: p.marked)
        assert is_reset(client)


async def test_a_killed_worker_counts_as_cut_and_comes_back() -> None:
    """A worker that crashes takes its sessions along, is started again within the same address,
    and a mark is told for it only once it is gone; nobody is forgotten in the numbers."""
    async with pod() as p:
        client, _ = await p.joined()
        await p.until(lambda: p.counters.active == 1)
        (first,) = p.workers.pids
        os.kill(first, signal.SIGKILL)
        p.route(2, p.upstream)
        p.workers.mark(9)
        await p.until(lambda: p.marked)
        assert not psutil.pid_exists(first)
        assert has_ended(client)
        await p.joined()
        await p.until(lambda: p.counters.active == 1)
        assert p.workers.restarts == 1
        assert p.counters.ended == {"worker_lost": 1}
        assert p.counters.accepted == 2


async def test_clients_wait_for_a_worker_that_starts_again() -> None:
    """Who connects while the worker is down is served by the next one: the listener is ours."""
    async with pod() as p:
        await p.joined()
        os.kill(p.workers.pids[0], signal.SIGKILL)
        await p.joined()
        assert not p.counters.refused


async def test_a_stopped_worker_is_replaced() -> None:
    """A worker that says nothing for HANG_S is killed; what waits for its cut goes on then."""
    async with pod() as p:
        client, _ = await p.joined()
        os.kill(p.workers.pids[0], signal.SIGSTOP)
        p.route(2, p.upstream)
        p.workers.mark(4)
        await p.until(lambda: p.marked)
        assert has_ended(client)
        assert any("said nothing" in text for text in p.troubles)


async def test_the_fence_is_kept_in_the_worker() -> None:
    """S6: with nobody to confirm it RW closes by itself: what the upstream says after the deadline
    never reaches the client."""
    async with pod() as p:
        client, upstream = await p.joined()
        p.workers.serve_until(Kind.RW, trio.current_time() + 0.15)
        await p.until(lambda: try_recv(client) == b"")
        assert is_reset(upstream)
        await p.until(lambda: p.counters.ended.get("self_fence") == 1)


ORPHAN = """
import os, sys, trio
from gateway import Kind, Limits, Route, Upstream, Workers

async def main(port, until_s):
    def need(kind, instance, incarnation):
        workers.confirm(kind, main, trio.current_time())
    main = Upstream("memgraph-0", 1, "127.0.0.1", port)
    workers = Workers({Kind.RW: Limits()}, 1, on_need=need, on_marked=print)
    workers.serve_until(Kind.RW, trio.current_time() + until_s)
    workers.apply(Kind.RW, Route(1, (main,), ""))
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(workers.run, {Kind.RW: ("127.0.0.1", 0)})
        while not workers.pids:
            await trio.sleep(0.01)
        print(bound[Kind.RW][1], workers.pids[0], flush=True)
        await trio.sleep_forever()

trio.run(main, int(sys.argv[1]), float(sys.argv[2]))
"""


@asynccontextmanager
async def _parent(
    server: Server, until_s: float
) -> AsyncIterator[tuple[subprocess.Popen[str], socket.socket, int]]:
    """A parent of its own with a worker and one session through it."""
    process = subprocess.Popen(  # noqa: ASYNC220 - its stdout is read in a thread
        [sys.executable, "-c", ORPHAN, str(server.port), str(until_s)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port, pid = map(int, (await trio.to_thread.run_sync(process.stdout.readline)).split())
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setblocking(False)
            client.send(b"?")
            while not server.poll() or not try_recv(server.accepted[0]):
                await trio.sleep(0.005)
            server.accepted[0].send(b"!")
            while try_recv(client) != b"!":
                await trio.sleep(0.005)
            yield process, client, pid
    finally:
        process.kill()
        process.communicate()
        server.close()


async def test_an_orphan_cuts_and_ends() -> None:
    """When its parent is killed, a worker cuts and exits; nothing stays behind on the port."""
    with trio.fail_after(20):
        async with _parent(Server(), 60) as (process, client, pid):
            process.kill()
            while not has_ended(client):
                await trio.sleep(0.005)
            while psutil.pid_exists(pid):
                await trio.sleep(0.005)


async def test_a_stopped_parent_does_not_keep_writes_open() -> None:
    """S6, F10: the parent hangs; its worker closes RW at the deadline that it was given last, and
    an answer that comes afterwards is not forwarded."""
    server = Server()
    with trio.fail_after(20):
        async with _parent(server, 1.5) as (process, client, _):
            process.send_signal(signal.SIGSTOP)
            while (got := try_recv(client)) is None:
                await trio.sleep(0.01)
            assert got == b""
            process.send_signal(signal.SIGCONT)


async def test_shares_are_never_more_than_the_whole() -> None:
    """Two workers on one address serve together at most connections_max of twice as many."""
    async with pod(2, Limits(connections_max=10)) as p:
        await p.until(lambda: len(p.workers.pids) == 2)
        await p.joined()
        for _ in range(19):
            client = socket.create_connection(p.address)
            client.setblocking(False)
            p.clients.append(client)
        await p.until(lambda: p.counters.accepted == 20)
        await p.until(lambda: p.counters.active + p.counters.refused["max_connections"] == 20)
        assert 1 <= p.counters.active <= 10


async def test_sessions_are_told_one_by_one() -> None:
    """Each client that was refused or served is told with its address, reason and bytes."""
    async with pod(tells_sessions=True) as p:
        client, upstream = await p.joined()
        client.close()
        await p.until(lambda: try_recv(upstream) == b"")
        upstream.close()
        await p.until(lambda: p.over)
        (over,) = p.over
        assert (over.instance, over.reason) == ("memgraph-0", "client_closed")
        assert (over.upstream, over.term) == (f"127.0.0.1:{p.server.port}", 1)
        assert (over.peer, over.bytes_up, over.bytes_down) == ("127.0.0.1", 1, 1)


async def test_a_worker_that_makes_no_sense_is_ended() -> None:
    """Bytes from a worker that are no message end it, and another one is started."""
    async with pod() as p:
        await p.joined()
        slot = p.workers._slots[0]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            theirs.send(b'{"v":1,"is":"Marked","number":99}')  # a mark that nobody asked for
            assert slot.socket is not None
            why = await p.workers._listen(slot, ours)
        assert "made no sense" in why
        assert not p.marked


async def test_a_worker_imports_little() -> None:
    """Neither trio nor anything of the controller is loaded in a worker."""
    words = "import gateway.worker, sys; print(*sorted(m.split('.')[0] for m in sys.modules))"
    shown = await trio.run_process([sys.executable, "-c", words], capture_stdout=True)
    foreign = {"trio", "kubernetes", "neo4j", "structlog", "controller", "statemachine", "ssl"}
    assert not foreign & set(shown.stdout.decode().split())


async def test_a_deadline_never_becomes_later() -> None:
    """The moment that a worker is told is the caller's or a little before it, never after."""
    workers = Workers({}, 1, on_need=lambda *_: None, on_marked=lambda _: None)
    for ahead_s in (0.0, 5.0, -5.0):
        before_s = time.monotonic()
        told_s = workers._shared(trio.current_time() + ahead_s) - ahead_s
        assert told_s <= time.monotonic()
        assert told_s >= before_s - 1.0


async def test_a_worker_speaks_tls() -> None:
    """TLS and its files reach the relay process: a client's question comes out in the clear."""
    certs = Path(__file__).parent / "certs"
    tls = ClientTls(str(certs / "server.pem"), str(certs / "server.key"))
    context = ssl.create_default_context(cafile=str(certs / "authority.pem"))
    async with pod(limits=Limits(client_tls=tls)) as p:
        plain = await trio.open_tcp_stream(*p.address)
        stream = trio.SSLStream(plain, context, server_hostname="gateway")
        async with plain:
            await stream.send_all(b"question")
            await p.until(p.server.poll)
            await p.until(lambda: try_recv(p.server.accepted[0]) == b"question")
            p.server.accepted[0].send(b"answer")
            assert await stream.receive_some() == b"answer"


async def test_a_worker_without_its_files_is_tried_again(tmp_path: Path) -> None:
    """A certificate that is not there yet keeps the worker from serving, not the pod from living:
    once it is there, clients are served."""
    certs = Path(__file__).parent / "certs"
    tls = ClientTls(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"))
    async with pod(limits=Limits(client_tls=tls)) as p:
        await p.until(lambda: p.troubles)
        assert not p.workers.is_serving
        shutil.copy(certs / "server.key", tls.key_path)
        shutil.copy(certs / "server.pem", tls.cert_path)
        await p.until(lambda: p.workers.is_serving)
