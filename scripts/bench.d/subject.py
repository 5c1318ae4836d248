"""The gateway as the bench sees it: relays to one port of 127.0.0.1, cuts on each line of stdin.

The controller's verifier is stood in for by an answer at once: what is measured is the relay, with
its question to the controller's side and back, not Memgraph's answer to a ping.
"""

import argparse
import sys
from collections.abc import Callable

import trio

from gateway import Gateway, Kind, Limits, Route, Upstream, Workers

FOR_EVER_S = 1e6


async def serve(port: int, upstream: int, workers: int) -> None:
    """Until it is killed; prints a line once it listens."""
    main = Upstream("memgraph-0", 1, "127.0.0.1", upstream)
    limits = Limits(connections_max=20_000, hold_max=20_000)
    async with trio.open_nursery() as nursery:
        if workers:
            relay = await start_workers(nursery, port, main, limits, workers)
        else:
            relay = await start_in_process(nursery, port, main, limits)
        relay(Route(1, (main,), "bench"))
        print("listening", flush=True)
        term = 1
        while True:
            await trio.lowlevel.wait_readable(sys.stdin)
            if not sys.stdin.readline():
                nursery.cancel_scope.cancel()
                break
            term += 1
            relay(Route(term, (main,), "cut"))


Relay = Callable[[Route], object]


async def start_in_process(
    nursery: trio.Nursery, port: int, main: Upstream, limits: Limits
) -> Relay:
    """GATEWAY_WORKERS=0."""

    def verify(asked: Upstream) -> None:
        gateway.confirm(asked, trio.current_time())

    gateway = Gateway(Kind.RW, limits, need_confirmation=verify)
    gateway.serve_until(trio.current_time() + FOR_EVER_S)
    await nursery.start(gateway.run, "127.0.0.1", port)
    return gateway.apply


async def start_workers(
    nursery: trio.Nursery, port: int, main: Upstream, limits: Limits, count: int
) -> Relay:
    """GATEWAY_WORKERS above 0; with the second gateway, as in a pod."""

    def verify(kind: Kind, instance: str, incarnation: int) -> None:
        workers.confirm(kind, main, trio.current_time())

    workers = Workers(
        {Kind.RW: limits, Kind.RO: limits},
        count,
        on_need=verify,
        on_marked=lambda mark: None,
        on_trouble=print,
    )
    workers.serve_until(Kind.RW, trio.current_time() + FOR_EVER_S)
    await nursery.start(workers.run, {Kind.RW: ("127.0.0.1", port), Kind.RO: ("127.0.0.1", 0)})
    return lambda route: workers.apply(Kind.RW, route)


def main() -> None:
    """LISTEN_PORT UPSTREAM_PORT [--workers N]."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("port", type=int)
    words.add_argument("upstream", type=int)
    words.add_argument("--workers", type=int, default=1)
    given = words.parse_args()
    trio.run(serve, given.port, given.upstream, given.workers)


if __name__ == "__main__":
    main()
