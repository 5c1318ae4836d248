"""The gateway as the bench sees it: relays to ports of 127.0.0.1, and does what stdin tells it.

A line on stdin is a word: cut, hold (cut, and no route), open, one, all (so many upstreams), busy,
calm; each is answered by "done". The controller's verifier is stood in for by an answer at once:
what is measured is the relay, with its question to the controller's side and back, not Memgraph's
answer to a ping.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable

import trio

from gateway import ClientTls, Gateway, Kind, Limits, Route, Upstream, Workers

FOR_EVER_S = 1e6
BEHIND_THE_RELAY = 5  # niceness, as controller.app
BUSY_S, BUSY_EVERY_S = 0.005, 0.05  # Python that holds the interpreter, as a controller's turns do

Apply = Callable[[Kind, Route], object]


def burn(until_s: float) -> None:
    """Python's own work, until then (monotonic)."""
    while time.monotonic() < until_s:
        sum(range(100))


class Subject:
    """Routes of one gateway.

    Args:
      apply: hands a route to the gateway.
    """

    def __init__(self, kind: Kind, upstreams: tuple[Upstream, ...], apply: Apply) -> None:
        self._kind, self._upstreams, self._apply = kind, upstreams, apply
        self._count = len(upstreams)
        self._term = 0
        self._busy = trio.Event()

    def route(self, *, is_open: bool) -> None:
        """A new term; RW cuts everybody for it."""
        self._term += 1
        upstreams = self._upstreams[: self._count] if is_open else ()
        self._apply(self._kind, Route(self._term, upstreams, "bench"))

    def obey(self, word: str) -> None:
        """Do it; an unknown word ends the bench."""
        if word in ("one", "all"):
            self._count = 1 if word == "one" else len(self._upstreams)
            self.route(is_open=False)  # who was known is forgotten: none is a newcomer
            self.route(is_open=True)
        elif word in ("cut", "open", "hold"):
            self.route(is_open=word != "hold")
        elif word == "busy":
            self._busy.set()
        elif word == "calm":
            self._busy = trio.Event()
        else:
            raise SystemExit(f"what is {word}?")

    async def keep_busy(self) -> None:
        """While it is told to be."""
        while True:
            await self._busy.wait()
            burn(time.monotonic() + BUSY_S)
            await trio.sleep(BUSY_EVERY_S - BUSY_S)


async def serve(given: argparse.Namespace) -> None:
    """Until stdin ends; prints a line once it listens."""
    kind = Kind(given.kind)
    tls = ClientTls(*given.tls) if given.tls else None
    limits = Limits(connections_max=20_000, hold_max=20_000, client_tls=tls)
    upstreams = tuple(
        Upstream(f"memgraph-{number}", 1, "127.0.0.1", port)
        for number, port in enumerate(given.upstreams)
    )
    async with trio.open_nursery() as nursery:
        start = start_workers if given.workers else start_in_process
        apply = await start(nursery, kind, given.port, upstreams, limits, given.workers)
        subject = Subject(kind, upstreams, apply)
        subject.route(is_open=True)
        nursery.start_soon(subject.keep_busy)
        print("listening", flush=True)
        while True:
            await trio.lowlevel.wait_readable(sys.stdin)
            words = os.read(sys.stdin.fileno(), 4096).decode().split()
            if not words:
                nursery.cancel_scope.cancel()
                return
            for word in words:
                subject.obey(word)
                print("done", flush=True)


async def start_in_process(
    nursery: trio.Nursery,
    kind: Kind,
    port: int,
    _upstreams: tuple[Upstream, ...],
    limits: Limits,
    _count: int,
) -> Apply:
    """GATEWAY_WORKERS=0."""

    def verify(asked: Upstream) -> None:
        gateway.confirm(asked, trio.current_time())

    gateway = Gateway(kind, limits, need_confirmation=verify)
    gateway.serve_until(trio.current_time() + FOR_EVER_S)
    await nursery.start(gateway.run, "127.0.0.1", port)
    return lambda _kind, route: gateway.apply(route)


async def start_workers(
    nursery: trio.Nursery,
    kind: Kind,
    port: int,
    upstreams: tuple[Upstream, ...],
    limits: Limits,
    count: int,
) -> Apply:
    """GATEWAY_WORKERS above 0; with the second gateway, as in a pod."""

    def verify(kind: Kind, instance: str, incarnation: int) -> None:
        for upstream in upstreams:
            if upstream.key == (instance, incarnation):
                workers.confirm(kind, upstream, trio.current_time())

    workers = Workers(
        {Kind.RW: limits, Kind.RO: limits},
        count,
        on_need=verify,
        on_marked=lambda mark: None,
        on_trouble=lambda text: print(text, file=sys.stderr),
    )
    os.setpriority(os.PRIO_PROCESS, 0, BEHIND_THE_RELAY)
    for each in Kind:
        workers.serve_until(each, trio.current_time() + FOR_EVER_S)
    where = {each: ("127.0.0.1", port if each is kind else 0) for each in Kind}
    await nursery.start(workers.run, where)
    while not workers.is_serving:  # noqa: ASYNC110 - few looks; memory is measured from here on
        await trio.sleep(0.01)
    return workers.apply


def main() -> None:
    """LISTEN_PORT UPSTREAM_PORT... [--kind rw|ro] [--workers N] [--tls CERTIFICATE KEY]."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("port", type=int)
    words.add_argument("upstreams", type=int, nargs="+")
    words.add_argument("--kind", default="rw")
    words.add_argument("--workers", type=int, default=1)
    words.add_argument("--tls", nargs=2)
    trio.run(serve, words.parse_args())


if __name__ == "__main__":
    main()
