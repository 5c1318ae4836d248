"""The relay of this checkout beside HAProxy and a Go proxy, in interleaved rounds.

Every proxy runs on one core, the server and the load on another; all sockets are on 127.0.0.1.
Prints medians with their spread (least to most) over the rounds, and the ratio to the better of
the two HAProxies in the same rounds; above 1 is better than HAProxy in every line. CPU is of all
the proxy's processes, ours with the controller's side of the worker; it is what a machine that is
shared with others blurs least.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from peers import (
    DIRECT,
    GO,
    HAPROXY,
    HERE,
    LOAD_CPU,
    OURS,
    TUNED,
    Peer,
    free_port,
    pinned,
    start_all,
)

PING_CONNECTIONS = (1, 16, 128, 1000)
CHURN_CONNECTIONS = 64
HOLD_CONNECTIONS = 5000
CUT_CONNECTIONS = (1000, 5000)

MANY_DESCRIPTORS = ("hold", f"cut{CUT_CONNECTIONS[-1]}")
DESCRIPTORS_OF_GO = 6 * HOLD_CONNECTIONS + 100  # two sockets and two pipes a session

Figures = dict[str, dict[str, list[float]]]  # what -> who -> one value a round


class Load:
    """The load generator, and the server behind every proxy."""

    def __init__(self, binary: Path, seconds: float, bulk_bytes: int) -> None:
        self._binary, self._seconds, self._bulk_bytes = binary, seconds, bulk_bytes

    def run(self, *words: object) -> dict[str, Any]:
        """What it printed."""
        with self.start(*words) as process:
            output, _ = process.communicate(timeout=120)
        if process.returncode:
            raise RuntimeError(f"load {words} failed")
        answer: dict[str, Any] = json.loads(output)
        return answer

    def start(self, *words: object) -> subprocess.Popen[str]:
        """Without waiting for its end."""
        return subprocess.Popen(
            [str(self._binary), *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=pinned(LOAD_CPU),
        )

    def loop(self, peer: Peer, mode: str, conns: int) -> tuple[dict[str, float], float]:
        """What a closed loop measured, and the proxy's CPU microseconds for each turn of it."""
        with self.start(mode, peer.port, conns, self._seconds) as process:
            assert process.stdout is not None
            process.stdout.readline()
            before_s = cpu_s(peer)
            output, _ = process.communicate("go\n", timeout=120)
        if process.returncode:
            raise RuntimeError(f"load {mode} failed")
        got: dict[str, float] = json.loads(output)
        return got, (cpu_s(peer) - before_s) * 1e6 / (got["per_s"] * self._seconds)

    def ping(self, peer: Peer, conns: int) -> dict[str, float]:
        """Requests of that many connections."""
        got, spent_us = self.loop(peer, "ping", conns)
        figures = {f"requests/s, {conns} connections": got["per_s"]}
        if peer.name != DIRECT:
            figures[f"cpu us a request, {conns} conn."] = spent_us
        if conns == 1:
            figures["p50 us, 1 connection"] = got["p50_us"]
            figures["p99 us, 1 connection"] = got["p99_us"]
        return figures

    def bulk(self, peer: Peer, way: str) -> dict[str, float]:
        """One stream."""
        before_s = cpu_s(peer)
        took_s = self.run(way, peer.port, self._bulk_bytes)["seconds"]
        spent_ms = (cpu_s(peer) - before_s) * 1e3 / (self._bulk_bytes / 1e9)
        figures = {f"MB/s {way}": self._bulk_bytes / took_s / 1e6}
        if peer.name != DIRECT:
            figures[f"cpu ms a GB {way}"] = spent_ms
        return figures

    def churn(self, peer: Peer) -> dict[str, float]:
        """Connect, one request, close."""
        got, spent_us = self.loop(peer, "churn", CHURN_CONNECTIONS)
        figures = {"new connections/s": got["per_s"]}
        if peer.name != DIRECT:
            figures["cpu us a new connection"] = spent_us
        return figures

    def hold(self, peer: Peer) -> dict[str, float]:
        """What the proxy's processes grow by."""
        before_kb = sum(map(anonymous_kb, peer.pids))
        with self.start("hold", peer.port, HOLD_CONNECTIONS) as process:
            assert process.stdout is not None
            process.stdout.readline()
            grown_kb = sum(map(anonymous_kb, peer.pids)) - before_kb
            process.communicate("go\n", timeout=120)
        return {f"user kB a session, {HOLD_CONNECTIONS}": grown_kb / HOLD_CONNECTIONS}

    def cut(self, peer: Peer, conns: int) -> dict[str, float]:
        """From the command to the end of the last client; half of them wait for an answer."""
        with self.start("cut", peer.port, conns, conns // 2) as process:
            assert process.stdout is not None
            process.stdout.readline()
            at_s = peer.cut()
            output, _ = process.communicate(timeout=120)
        return {f"ms to cut {conns}": (json.loads(output)["last_at_s"] - at_s) * 1e3}


def descriptors_max() -> int:
    """How many a child of ours may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def want_descriptors() -> None:
    """As many as every proxy needs, where we may raise the limit."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (65536, 65536))
    except (OSError, ValueError):
        if descriptors_max() < DESCRIPTORS_OF_GO:
            print(f"only {descriptors_max()} descriptors: go is left out at 5000 sessions")


def cpu_s(peer: Peer) -> float:
    """What the proxy's processes have used so far, all their threads."""
    used_ns = 0
    for pid in peer.pids if peer.name != DIRECT else []:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            used_ns += int(path.read_text().split()[0])
    return used_ns / 1e9


def anonymous_kb(pid: int) -> int:
    """Memory that the process itself has filled."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


Measure = Callable[[Peer], dict[str, float]]


def measures(load: Load) -> dict[str, Measure]:
    """By name; hold and cut make no sense without a proxy."""
    return {
        "hold": load.hold,  # first: a process that has carried much does not grow again
        **{f"ping{n}": partial(load.ping, conns=n) for n in PING_CONNECTIONS},
        **{way: partial(load.bulk, way=way) for way in ("down", "up")},
        "churn": load.churn,
        **{f"cut{n}": partial(load.cut, conns=n) for n in CUT_CONNECTIONS},
    }


def collect(peers: list[Peer], load: Load, rounds: int, only: str) -> Figures:
    """All rounds, one measure after the other, each over all who are compared."""
    figures: Figures = {}
    for number in range(rounds):
        for name, measure in measures(load).items():
            if only and not re.fullmatch(only, name):
                continue
            is_for_proxies = name.startswith(("hold", "cut"))
            order = [p for p in peers if not is_for_proxies or p.name != DIRECT]
            if name in MANY_DESCRIPTORS and descriptors_max() < DESCRIPTORS_OF_GO:
                order = [p for p in order if p.name != GO]
            for peer in order[number % len(order) :] + order[: number % len(order)]:
                for what, value in measure(peer).items():
                    figures.setdefault(what, {}).setdefault(peer.name, []).append(value)
                time.sleep(0.02)  # sockets that are closing are not the next one's load
    return figures


def ratio(what: str, by: dict[str, list[float]]) -> float | None:
    """Ours to the HAProxy with the better median, round by round, as the median; above 1 is
    better. Memory counts at its most: a process that gave nothing back does not grow again."""
    is_less_better = what.startswith(("p50", "p99", "ms", "user", "cpu"))
    middle = max if what.startswith("user") else statistics.median
    pick = min if is_less_better else max
    rivals = [by[name] for name in (HAPROXY, TUNED) if name in by]
    if not rivals:
        return None
    rival = pick(rivals, key=middle)
    if what.startswith("user"):
        return max(rival) / max(by[OURS]) if max(by[OURS]) else None
    ratios = [ours / theirs for ours, theirs in zip(by[OURS], rival, strict=True)]
    found = statistics.median(ratios)
    return 1 / found if is_less_better else found


def show(figures: Figures, names: list[str]) -> None:
    """One row for each measure."""
    print(f"{'':32}" + "".join(f"{name:>24}" for name in names) + "   ours/better haproxy")
    for what, by in figures.items():
        cells = [spread(by.get(name)) for name in names]
        found = ratio(what, by)
        end = "" if found is None else f"{found:8.2f}x"
        print(f"{what:32}" + "".join(f"{cell:>24}" for cell in cells) + end)


def spread(values: list[float] | None) -> str:
    """Median (least-most)."""
    if not values:
        return "-"
    digits = 0 if statistics.median(values) >= 1000 else 2
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def main() -> None:
    """See the head of this file."""
    words = argparse.ArgumentParser(prog="./scripts/bench gateway", description=__doc__)
    words.add_argument("--json", type=Path, help="write every round there, too")
    words.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    words.add_argument("--rounds", type=int, default=0)
    words.add_argument("--workers", type=int, default=1, help="GATEWAY_WORKERS of ours")
    words.add_argument("--only", default="", help="measures, a pattern: ping128|churn")
    given = words.parse_args()
    rounds = given.rounds or (3 if given.quick else 7)
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("two cores are needed: one for the proxy, one for the load")
    want_descriptors()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        where = Path(name)
        binary = where / "load"
        subprocess.run(["cc", "-O2", "-o", binary, HERE / "load.c"], check=True)
        load = Load(binary, 0.5 if given.quick else 1.5, (1 << 29) if given.quick else (1 << 31))
        port = free_port()
        server = load.start("server", port)
        stack.callback(server.communicate)
        stack.callback(server.kill)
        peers = [Peer(DIRECT, port, None), *start_all(stack, port, where, given.workers)]
        figures = collect(peers, load, rounds, given.only)
    show(figures, [peer.name for peer in peers])
    if given.json:
        given.json.write_text(json.dumps({"rounds": rounds, "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
