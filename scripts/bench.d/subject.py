"""The gateway as the bench sees it: relays to one port of 127.0.0.1, cuts on each line of stdin.

The controller's verifier is stood in for by an answer at once: what is measured is the relay, with
its question to the controller's side and back, not Memgraph's answer to a ping.
"""

import argparse
import sys

import trio

from gateway import Gateway, Kind, Limits, Route, Upstream

FOR_EVER_S = 1e6


async def serve(port: int, upstream: int, workers: int) -> None:
    """Until it is killed; prints a line once it listens."""
    main = Upstream("memgraph-0", 1, "127.0.0.1", upstream)

    def verify(asked: Upstream) -> None:
        gateway.confirm(asked, trio.current_time())

    gateway = Gateway(Kind.RW, Limits(connections_max=20_000), need_confirmation=verify)
    gateway.serve_until(trio.current_time() + FOR_EVER_S)
    gateway.apply(Route(1, (main,), "bench"))
    async with trio.open_nursery() as nursery:
        await nursery.start(gateway.run, "127.0.0.1", port)
        print("listening", flush=True)
        term = 1
        while True:
            await trio.lowlevel.wait_readable(sys.stdin)
            if not sys.stdin.readline():
                nursery.cancel_scope.cancel()
                break
            term += 1
            gateway.apply(Route(term, (main,), "cut"))


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
