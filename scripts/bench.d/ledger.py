"""What the ledger costs on its first day and 100,000 events later, on this machine, as it is now.

Promise: prints what it measured and what is asked for; a figure that falls short makes exit code 1.
The product's own code appends, cuts, folds and verifies; the API server is the stand-in, on a real
socket, in a process of its own. What stands in for the real thing: a real API server and etcd add
their own few milliseconds to each append, and those do not depend on the ledger's age.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import trio
import trio_asyncio

from controller.chronicle import Chronicle
from controller.kube import ClientConfig, KubeLedgerStore, KubeNames, KubeTimes, open_client
from controller.sandbox.apiserver import Store, serve
from statemachine import events as e
from statemachine.archive import LIMITS, archived_event, cut_at, is_due, next_number, segment_end
from statemachine.chain import read_chain
from statemachine.events import Event
from statemachine.ids import Durability, Instance, Mode, Phase
from statemachine.ledger import Ledger, fold

EVENTS = 100_000
FULL = 0.98  # of what the live part may hold
ROUND = 512  # appends that are timed: four segments, so that both ages carry the same cuts
SOCKET_ROUND = 100
READS = 10
START_MAX_S = 1.0
APPEND_RATIO_MAX = 1.2  # an append may cost this much of day one's: two runs differ by that much
A, B, C = (Instance(f"memgraph-{n}") for n in range(3))
BO, DE, OP = Phase.BOOTSTRAP, Phase.DEGRADED, Phase.OPERATIONAL
FACTS = tuple(
    (f"a_guard_that_was_asked_{n}", "ready, behind 0; memgraph-1, 0.2 s") for n in range(6)
)
FIRST: tuple[tuple[e.Payload, Phase, Phase], ...] = (
    (e.LeaderElected("controller-0/uid/1"), BO, BO),
    (e.MainAppointed(A, "5f1c9a36-0000-4000-8000-000000000000"), BO, DE),
    (e.MainPromoted(A, frozenset(), "none"), DE, DE),
    (e.RegistrationOpened("memgraph_1_g1", B, Mode.STRICT_SYNC, "10.0.0.2:10000", "u/0"), DE, DE),
    (e.SyncJoined(B, "memgraph_1_g1"), DE, OP),
)
DAILY: tuple[e.Payload, ...] = (
    e.ReadersChanged(frozenset()),
    e.RequestRefused("r-1", "switchover", "alice", "the sync lags"),
    e.ReadersChanged(frozenset({C})),
    e.LeaderElected("controller-1/uid/2"),
    e.PolicyChanged(Durability.PREFERRED),
)


class Book:
    """A leader's ledger in memory: live part and archives, cut as the product cuts them."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.archives: dict[int, dict[str, str]] = {}
        for payload, source, dest in FIRST:
            self._add(Event(payload, source, dest, "because of what was seen", FACTS))
        self._daily = cycle(DAILY)

    def append(self) -> None:
        """One event of a cluster that is well, and the cut that it makes due; what the leader does
        for it, up to the bytes that go to the API server."""
        self._add(Event(next(self._daily), OP, OP, "because of what was seen", FACTS))
        if is_due(self.ledger):
            end = segment_end(self.ledger)
            assert end is not None, "a ledger that is due has a segment"
            cut, number = cut_at(self.ledger, end), next_number(self.ledger.cluster)
            self.archives[number] = dict(cut.data)
            event = archived_event(self.ledger.cluster, cut, number, ())
            self._add(event, cut)
        json.dumps({"data": self.ledger.data, "annotations": self.ledger.annotations})

    def _add(self, event: Event, cut: Any = None) -> None:
        at, entry_id = "2026-01-01T00:00:00.000Z", f"{self.ledger.seq:016x}"
        self.ledger = self.ledger.append(event, at=at, by="controller-0", entry_id=entry_id)
        if cut is not None:
            self.ledger = self.ledger.cut(cut.base)

    def fill(self) -> None:
        """Until the live part is about to be cut: then both ages are alike, and at their worst."""
        while sum(map(len, self.ledger.lines)) < FULL * LIMITS.live_bytes:
            self.append()

    def as_now(self) -> "Book":
        """Another one that goes on from here."""
        other = Book()
        other.ledger, other.archives = self.ledger, dict(self.archives)
        return other


def elapsed(work: Any) -> float:
    """Seconds of CPU that a call took: of value on a machine that others use too."""
    begun_s = time.process_time()
    work()
    return time.process_time() - begun_s


CHILD = """
import json, sys, time
import controller.app
from statemachine.ledger import fold
imported_s = time.process_time()
ledger = fold(json.load(open(sys.argv[1])))
ended_s = time.process_time()
print(json.dumps({"cpu_s": ended_s, "fold_s": ended_s - imported_s, "seq": int(ledger.seq)}))
"""


def start_of_process(data: dict[str, str]) -> tuple[float, float]:
    """Seconds of CPU from the start of a process to a verified ledger, imports included; and of
    that the fold."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(data, file)
        file.flush()
        command = [sys.executable, "-c", CHILD, file.name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        said = json.loads(done.stdout)
        return said["cpu_s"], said["fold_s"]


@contextmanager
def api_server() -> Iterator[str]:
    """The stand-in in a process of its own; its address."""
    command = [sys.executable, __file__, "--serve"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


async def serve_for_ever() -> None:
    """Prints its address, then serves until it is killed."""
    async with trio.open_nursery() as nursery:
        url = await nursery.start(partial(serve, Store(), "127.0.0.1", 0))
        print(url, flush=True)


@asynccontextmanager
async def transport_to(url: str, folder: Path) -> Any:
    """The product's own client."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    async with trio_asyncio.open_loop(), open_client(ClientConfig(str(path))) as transport:
        yield transport


class Remote:
    """A ledger of its own on the API stand-in, as a pod reads it and appends to it."""

    def __init__(self, transport: Any, name: str) -> None:
        store = KubeLedgerStore(transport, KubeNames(name, "default", "m", "c", "u"), KubeTimes())
        self._store, self._chronicle = store, Chronicle(store, by="controller-0")
        self._daily = cycle(DAILY)
        self.read_s: list[float] = []
        self.appends_s: list[float] = []

    async def begin(self, data: dict[str, str]) -> None:
        """Put this there, and take the time of first reads."""
        await self._store.create(data, {})
        for _ in range(READS):
            self._chronicle = Chronicle(self._store, by="controller-0")
            begun_s = time.perf_counter()
            await self._chronicle.read()
            self.read_s.append(time.perf_counter() - begun_s)

    async def append(self) -> None:
        """One event, timed."""
        event = Event(next(self._daily), OP, OP, "because of what was seen", FACTS)
        begun_s = time.perf_counter()
        if not await self._chronicle.append(event):
            raise AssertionError("nobody else writes here")
        self.appends_s.append(time.perf_counter() - begun_s)


async def over_a_socket(url: str, folder: Path, *data: dict[str, str]) -> list[Remote]:
    """Ledgers that are read and appended to in turn, through the API stand-in."""
    async with transport_to(url, folder) as transport:
        remotes = [Remote(transport, f"bench-{number}") for number in range(len(data))]
        for remote, begun in zip(remotes, data, strict=True):
            await remote.begin(begun)
        for _ in range(SOCKET_ROUND):
            for remote in remotes:
                await remote.append()
        return remotes


def spread(samples: list[float], unit_s: float = 1e-3) -> str:
    """Median (10th to 90th percentile)."""
    tenths = [s / unit_s for s in statistics.quantiles(samples, n=10)]
    return f"{statistics.median(samples) / unit_s:.2f} ({tenths[0]:.2f} to {tenths[-1]:.2f})"


def measure(events: int, url: str, folder: Path) -> dict[str, Any]:
    """All figures. What is compared is measured in turn, for others use the machine too."""
    book = Book()
    book.fill()
    young = book.as_now()
    while book.ledger.seq < events:
        book.append()
    book.fill()
    data = [dict(b.ledger.data) for b in (young, book)]
    folds = [elapsed(partial(fold, data[1])) for _ in range(10)]
    starts = [start_of_process(data[1]) for _ in range(5)]
    remotes = trio.run(over_a_socket, url, folder, *data)
    rounds = [(elapsed(young.append), elapsed(book.append)) for _ in range(ROUND)]
    return {
        "events": int(book.ledger.seq),
        "archives": len(book.archives),
        "archive_bytes": sum(len(line) for a in book.archives.values() for line in a.values()),
        "live_entries": len(data[1]) - 1,
        "live_bytes": sum(map(len, data[1].values())),
        "appends": [[pair[n] for pair in rounds] for n in (0, 1)],
        "socket_appends": [r.appends_s for r in remotes],
        "reads": [r.read_s for r in remotes],
        "fold_s": folds,
        "start_s": [s for s, _ in starts],
        "start_fold_s": [f for _, f in starts],
        "verify_s": elapsed(lambda: _verify(book)),
    }


def _verify(book: Book) -> None:
    chain = read_chain(book.ledger.data, book.archives)
    assert not chain.faults, chain.faults[0]
    assert chain.count == book.ledger.seq


def shown(m: dict[str, Any]) -> list[str]:
    """The figures as lines of a table."""
    return [
        f"events {m['events']:,} in {m['archives']} archives ({m['archive_bytes'] / 1e6:.0f} MB) "
        f"and a live part of {m['live_entries']} ({m['live_bytes'] / 1024:.0f} KiB)",
        "| ms, median (10th to 90th percentile) | day one | later |",
        "|---|---:|---:|",
        _row("append, in the process, CPU", m["appends"]),
        _row("append, API stand-in on a socket", m["socket_appends"]),
        _row("first verified read, on a socket", m["reads"]),
        f"fold of the live part: {spread(m['fold_s'])} ms of CPU",
        f"process start to a verified ledger: {max(m['start_s']):.2f} s of CPU at worst of "
        f"{len(m['start_s'])}, of which the fold {max(m['start_fold_s']) * 1e3:.0f} ms",
        f"verify of the whole history: {m['verify_s']:.1f} s of CPU",
    ]


def _row(name: str, ages: list[list[float]]) -> str:
    return f"| {name} | {spread(ages[0])} | {spread(ages[1])} |"


def shortfalls(m: dict[str, Any]) -> list[str]:
    """What falls short of what is asked for."""
    ratio = statistics.median(m["appends"][1]) / statistics.median(m["appends"][0])
    found = []
    if ratio > APPEND_RATIO_MAX:
        found.append(f"an append costs {ratio:.2f} of what it cost on day one")
    if max(m["start_s"]) > START_MAX_S:
        found.append(f"a process needs {max(m['start_s']):.2f} s to a verified ledger")
    return found


def main() -> int:
    """Exit code 0 when everything that is asked for holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        trio.run(serve_for_ever)
    print(f"load average {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    with api_server() as url, tempfile.TemporaryDirectory() as folder:
        figures = measure(args.events, url, Path(folder))
    print("\n".join(shown(figures)))
    if args.json:
        args.json.write_text(json.dumps(figures))
    for what in (missing := shortfalls(figures)):
        print(f"falls short: {what}")
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
