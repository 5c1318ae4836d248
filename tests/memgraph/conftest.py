"""A scripted server, the asyncio loop, and an instance that talks to that server."""

from collections.abc import AsyncIterator, Callable

import pytest
import trio
import trio_asyncio
from attrs import evolve
from scripted_server import ScriptedServer

from controller.memgraph import BoltInstance, MemgraphAccess
from statemachine.ids import Instance

HOST = "127.0.0.1"
TEST_DEADLINE_S = 20.0


class Reign:
    """Whether the commands may still be sent; a test ends it."""

    def __init__(self) -> None:
        self.is_on = True

    def __call__(self) -> bool:
        return self.is_on


@pytest.fixture
def reign() -> Reign:
    return Reign()


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A scripted server on a port of its own; gone after the test."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host=HOST)
        it = ScriptedServer(port=listeners[0].socket.getsockname()[1])
        nursery.start_soon(trio.serve_listeners, it.serve, listeners)
        yield it
        nursery.cancel_scope.cancel()


@pytest.fixture
async def loop() -> AsyncIterator[None]:
    """The asyncio loop that the composition root opens in the product."""
    async with trio_asyncio.open_loop():
        with trio.fail_after(TEST_DEADLINE_S):
            yield


@pytest.fixture
def access(server: ScriptedServer) -> MemgraphAccess:
    return MemgraphAccess(
        bolt_port=server.port,
        probe_timeout_s=5.0,  # of a busy machine; tests of silence take a shorter one
        command_timeout_s=0.3,
        snapshot_timeout_s=0.3,
    )


@pytest.fixture
async def make(
    loop: None, server: ScriptedServer, access: MemgraphAccess, reign: Reign
) -> AsyncIterator[Callable[..., BoltInstance]]:
    """make(**changes of the access) -> an instance that is closed with the test."""
    made: list[BoltInstance] = []

    def make(host: str = HOST, **changes: object) -> BoltInstance:
        it = BoltInstance(Instance("memgraph-0"), host, evolve(access, **changes), reign)
        made.append(it)
        return it

    yield make
    for it in made:
        await it.aclose()


@pytest.fixture
def instance(make: Callable[..., BoltInstance]) -> BoltInstance:
    return make()
