"""SIGTERM while clients come and go, with a real relay process and the real way of leaving.

What stands in for the rest of a pod: the upstream echoes, and the verifier answers at once.
"""

import itertools
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import attrs
import trio

from controller.departure import Departure
from controller.gateways import Gateways
from gateway import Kind, Limits, Route, Upstream

DRAIN_S = 8.0
CLIENTS = 24  # that come one after the other; half of their sessions never end by themselves
REQUESTS, PAUSE_S = 12, 0.1  # of a session that ends: far below what is left when the door closes
LATER_S = 1000.0


@attrs.define(eq=False)
class Crowd:
    """Clients that keep coming until nobody listens any more.

    Attributes:
      whole: sessions that ended by themselves, with every answer.
      ended: sessions that the gateway had to end.
      lost: what went wrong with those that would have ended by themselves.
      is_asked: whether the signal was sent; came_late: sessions that began after it.
    """

    port: int
    whole: int = 0
    ended: int = 0
    came_late: int = 0
    is_asked: bool = False
    lost: list[str] = attrs.Factory(list)

    async def keep_coming(self, first: int) -> None:
        """One after the other; each that stays is left behind and goes on beside the next."""
        async with trio.open_nursery() as nursery:
            for turn in itertools.count(first):
                sock = trio.socket.socket()
                try:
                    await sock.connect(("127.0.0.1", self.port))
                except ConnectionRefusedError:
                    sock.close()
                    return
                stream = trio.SocketStream(sock)
                self.came_late += self.is_asked
                if turn % 2:
                    nursery.start_soon(self._stay, stream)
                    await trio.sleep(PAUSE_S)
                else:
                    await self._come_and_go(stream)

    async def _come_and_go(self, stream: trio.SocketStream) -> None:
        answers = 0
        try:
            async with stream:
                for answers in range(REQUESTS):  # noqa: B007 - told when it is lost
                    await self._ask(stream)
                    await trio.sleep(PAUSE_S)
            self.whole += 1
        except (OSError, trio.BrokenResourceError) as error:
            self.lost.append(f"after {answers} answers, late: {self.is_asked}: {error!r}")

    async def _stay(self, stream: trio.SocketStream) -> None:
        async with stream:
            try:
                while True:
                    await self._ask(stream)
                    await trio.sleep(PAUSE_S)
            except (OSError, trio.BrokenResourceError):
                self.ended += 1

    async def _ask(self, stream: trio.SocketStream) -> None:
        await stream.send_all(b"question")
        left = len(b"question")
        while left:
            data = await stream.receive_some(left)
            if not data:
                raise OSError("the end came early")
            left -= len(data)


async def echo(stream: trio.SocketStream) -> None:
    """Of the upstream."""
    try:
        async with stream:
            async for data in stream:
                await stream.send_all(data)
    except trio.BrokenResourceError:
        pass  # a session that was ended


async def answer(gateways: Gateways) -> None:
    """Of the verifier."""
    while True:
        for wish in await gateways.wait_wishes():
            gateways.confirm(wish, trio.current_time())


@asynccontextmanager
async def serving(workers: int) -> AsyncIterator[tuple[Gateways, int]]:
    """An open gateway and its port; it leaves at SIGTERM, and the whole scope ends then."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, echo, 0, host="127.0.0.1"))
        upstream = Upstream("memgraph-0", 1, *listeners[0].socket.getsockname())
        gateways = Gateways({Kind.RW: Limits()}, workers)
        await nursery.start(gateways.run, {Kind.RW: ("127.0.0.1", 0)})
        gateways.serve_until(trio.current_time() + LATER_S)
        gateways.apply(Kind.RW, Route(1, (upstream,), "as the test wants"))
        nursery.start_soon(answer, gateways)
        while not gateways.listening:
            await trio.sleep(0.005)
        yield gateways, int(gateways.bound["rw"].rpartition(":")[2])
        nursery.cancel_scope.cancel()


async def test_sigterm_loses_no_session_that_ends_in_time() -> None:
    """Clients come until they are refused, also after the signal: each of their sessions that ends
    before the drain does has every answer and its own end, those that stay are ended, and the pod
    goes."""
    with trio.fail_after(60):
        async with serving(workers=1) as (gateways, port), trio.open_nursery() as nursery:
            crowd = Crowd(port)
            left = trio.Event()

            async def leave() -> None:
                await gateways.leave(DRAIN_S)
                left.set()

            async with trio.open_nursery() as people:
                with trio.CancelScope() as process:
                    departure = Departure(process)
                    nursery.start_soon(departure.watch_signals)
                    nursery.start_soon(departure.carry_out, lambda: None, leave)
                    for number in range(CLIENTS):
                        people.start_soon(crowd.keep_coming, number)
                    while crowd.whole < CLIENTS:
                        await trio.sleep(0.01)
                    crowd.is_asked = True
                    os.kill(os.getpid(), signal.SIGTERM)
                    await trio.sleep_forever()
                assert left.is_set()
            assert crowd.lost == []
            assert crowd.came_late > CLIENTS
            assert crowd.whole > CLIENTS
            assert crowd.ended > CLIENTS // 2
            ended = gateways.counters["rw"].ended
            assert set(ended) == {"client_closed", "shutdown"}
            assert ended["client_closed"] == crowd.whole
            nursery.cancel_scope.cancel()
