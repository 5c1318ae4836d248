"""The load, and what is measured with it: each measure is a function from a peer to its figures.

A figure's name is its key from here to the page: `figures.py` knows which way is better.
"""

import json
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from peers import DIRECT, GO, HERE, LOAD_CPU, OURS, Peer, Yard, child, expect, free_port

PING_CONNECTIONS = (1, 16, 128, 1000)
OPEN_CONNECTIONS, OPEN_PER_S = 128, 5000.0  # a second, where half load is not known
CHURN_CONNECTIONS = 64
TLS_CONNECTIONS = 128
HOLD_CONNECTIONS = 5000
CUT_CONNECTIONS = (1000, 5000)
HELD_CONNECTIONS = 1000
READ_CONNECTIONS = 32
SERVICE_US = 400  # of a replica at its limit
MEASURE_S = 30.0  # longest time of one
DESCRIPTORS_OF_GO = 6 * HOLD_CONNECTIONS + 100  # two sockets and two pipes a session

Found = dict[str, float]
Measure = Callable[[Peer], Found]


@attrs.define(eq=False)
class Load:
    """The load generator.

    Args:
      binary: built of load.c; `tls` with TLS, None where that cannot be built.
      seconds: of a loop. bulk_bytes: of a stream.
    """

    binary: Path
    tls: Path | None
    seconds: float
    bulk_bytes: int
    descriptors: int
    half_per_s: float = 0.0  # half of what the slowest peer carries, of this round

    def start(self, *words: object, is_tls: bool = False) -> Any:
        """Without waiting for its end; killed when it is left."""
        return child(self.tls if is_tls else self.binary, *words, cpu=LOAD_CPU)

    def end(self, process: "subprocess.Popen[str]", word: str = "") -> Found:
        """What it printed last.

        Raises:
          RuntimeError: it failed. subprocess.TimeoutExpired: it did not end.
        """
        output, _ = process.communicate(word, timeout=MEASURE_S)
        if process.returncode:
            raise RuntimeError(f"load {process.args!r} failed")
        found: Found = json.loads(output)
        return found

    def loop(self, peer: Peer, *words: object, is_tls: bool = False) -> tuple[Found, float]:
        """What a loop measured, and the proxy's CPU microseconds for each turn of it."""
        with self.start(words[0], peer.port, *words[1:], is_tls=is_tls) as process:
            expect(process, "ready")
            before_s = cpu_s(peer)
            got = self.end(process, "go\n")
        return got, (cpu_s(peer) - before_s) * 1e6 / (got["per_s"] * self.seconds)

    def ping(self, peer: Peer, conns: int) -> Found:
        """Requests of that many connections, closed loop."""
        got, spent_us = self.loop(peer, "ping", conns, self.seconds)
        figures = {f"requests/s, {conns} connections": got["per_s"]}
        if peer.name != DIRECT:
            figures[f"cpu us a request, {conns} conn."] = spent_us
        if conns == 1:
            figures["p50 us, 1 connection"] = got["p50_us"]
            figures["p99 us, 1 connection"] = got["p99_us"]
        if conns == OPEN_CONNECTIONS:
            half = got["per_s"] / 2
            self.half_per_s = min(self.half_per_s or half, half)
        return figures

    def open(self, peer: Peer, *, is_busy: bool) -> Found:
        """Requests at moments of their own, at half load, the same for everybody."""
        rate_per_s = self.half_per_s or OPEN_PER_S
        with peer.busy(is_busy):
            got, _ = self.loop(peer, "open", OPEN_CONNECTIONS, self.seconds, rate_per_s)
        with_what = ", busy controller" if is_busy else ""
        return {
            f"p50 us at half load{with_what}": got["p50_us"],
            f"p99 us at half load{with_what}": got["p99_us"],
        }

    def bulk(self, peer: Peer, way: str) -> Found:
        """One stream."""
        before_s = cpu_s(peer)
        with self.start(way, peer.port, self.bulk_bytes) as process:
            took_s = self.end(process)["seconds"]
        spent_ms = (cpu_s(peer) - before_s) * 1e3 / (self.bulk_bytes / 1e9)
        figures = {f"MB/s {way}": self.bulk_bytes / took_s / 1e6}
        if peer.name != DIRECT:
            figures[f"cpu ms a GB {way}"] = spent_ms
        return figures

    def churn(self, peer: Peer) -> Found:
        """Connect, one request, close."""
        got, spent_us = self.loop(peer, "churn", CHURN_CONNECTIONS, self.seconds)
        figures = {"new connections/s": got["per_s"]}
        if peer.name != DIRECT:
            figures["cpu us a new connection"] = spent_us
        return figures

    def hold(self, peer: Peer, fresh: Callable[[ExitStack, str], Peer]) -> Found:
        """What the proxy's processes grow by: new ones, for who has carried much grows no more."""
        if peer.name == GO and self.descriptors < DESCRIPTORS_OF_GO:
            return {}
        with ExitStack() as stack:
            young = fresh(stack, peer.name)
            before_kb = sum(map(anonymous_kb, young.pids))
            process = stack.enter_context(self.start("hold", young.port, HOLD_CONNECTIONS))
            expect(process, "ready")
            grown_kb = sum(map(anonymous_kb, young.pids)) - before_kb
            self.end(process, "go\n")
        return {f"user kB a session, {HOLD_CONNECTIONS}": grown_kb / HOLD_CONNECTIONS}

    def cut(self, peer: Peer, conns: int, *, is_busy: bool) -> Found:
        """From the command to the end of the last client; half of them wait for an answer."""
        if peer.name == GO and 6 * conns > self.descriptors:
            return {}
        with self.start("cut", peer.port, conns, conns // 2) as process:
            expect(process, "ready")
            with peer.busy(is_busy):
                at_s = peer.cut()
                last_at_s = self.end(process)["last_at_s"]
        with_what = ", busy controller" if is_busy else ""
        return {f"ms to cut {conns}{with_what}": (last_at_s - at_s) * 1e3}

    def secure(self, peer: Peer) -> Found:
        """Requests of clients that speak TLS; their handshakes lie before."""
        got, spent_us = self.loop(peer, "ping", TLS_CONNECTIONS, self.seconds, is_tls=True)
        return {"TLS requests/s": got["per_s"], "cpu us a TLS request": spent_us}

    def held(self, peer: Peer) -> Found:
        """From the route to the last answer of clients that waited for it."""
        peer.tell("hold")
        with self.start("held", peer.port, HELD_CONNECTIONS) as process:
            expect(process, "ready")
            at_s = peer.tell("open")
            last_at_s = self.end(process)["last_at_s"]
        return {f"ms until {HELD_CONNECTIONS} held clients had answers": (last_at_s - at_s) * 1e3}

    def reads(self, peer: Peer) -> Found:
        """Of one replica at its limit, then of two."""
        figures = {}
        for word, name in (("one", "1 replica"), ("all", "2 replicas")):
            peer.tell(word)
            got, _ = self.loop(peer, "ping", READ_CONNECTIONS, self.seconds)
            figures[f"reads/s, {name}"] = got["per_s"]
        figures["reads/s, 2 to 1"] = figures["reads/s, 2 replicas"] / figures["reads/s, 1 replica"]
        return figures


def cpu_s(peer: Peer) -> float:
    """What the proxy's processes have used so far, all their threads."""
    used_ns = 0
    for pid in peer.pids:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            used_ns += int(path.read_text().split()[0])
    return used_ns / 1e9


def anonymous_kb(pid: int) -> int:
    """Memory that the process itself has filled."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


def build(where: Path, *flags: str) -> Path:
    """The load generator.

    Raises:
      subprocess.CalledProcessError: it cannot be built.
    """
    binary = where / f"load{'-tls' if flags else ''}"
    source = HERE / "load.c"
    subprocess.run(["cc", "-O2", "-o", binary, source, *flags, "-lm"], check=True)
    return binary


@attrs.define(eq=False)
class Field:
    """Everything that runs while the bench does: whom each measure is taken of."""

    plain: list[Peer]
    secure: list[Peer]
    readers: Peer
    measures: dict[str, tuple[Measure, list[Peer]]]


def set_up(stack: ExitStack, load: Load, yard: Yard) -> Field:
    """Start servers and proxies, and say what is measured, in this order."""
    port, replicas = free_port(), (free_port(), free_port())
    stack.enter_context(load.start("server", port))
    for replica in replicas:
        stack.enter_context(load.start("server", replica, SERVICE_US))
    proxies = yard.start_all(port)
    plain = [Peer(DIRECT, port), *proxies]
    secure = yard.start_all(port, is_tls=True) if load.tls else []
    readers = yard.ours(*replicas, kind="ro")
    ours = [peer for peer in proxies if peer.name == OURS]

    def fresh(inner: ExitStack, name: str) -> Peer:
        return attrs.evolve(yard, stack=inner).start(name, port)

    measures: dict[str, tuple[Measure, list[Peer]]] = {
        "hold": (partial(load.hold, fresh=fresh), proxies)
    }
    for conns in PING_CONNECTIONS:
        measures[f"ping{conns}"] = (partial(load.ping, conns=conns), plain)
    measures["open"] = (partial(load.open, is_busy=False), plain)
    measures["openbusy"] = (partial(load.open, is_busy=True), proxies)
    for way in ("down", "up"):
        measures[way] = (partial(load.bulk, way=way), plain)
    measures["churn"] = (load.churn, plain)
    for conns in CUT_CONNECTIONS:
        measures[f"cut{conns}"] = (partial(load.cut, conns=conns, is_busy=False), proxies)
        measures[f"cut{conns}busy"] = (partial(load.cut, conns=conns, is_busy=True), proxies)
    if secure:
        measures["tls"] = (load.secure, secure)
    measures["held"] = (load.held, ours)
    measures["reads"] = (load.reads, [readers])
    return Field(plain, secure, readers, measures)
