"""The keeper of instances: one per name, at its present address, all closed in the end."""

import subprocess
import sys

import pytest
import trio
from scripted_server import ScriptedServer

from controller.errors import MemgraphUnreachable
from controller.memgraph import BoltInstances, MemgraphAccess
from controller.ports import MemgraphInstances
from statemachine.ids import Instance

ONE, OTHER = Instance("memgraph-0"), Instance("memgraph-1")


def instances(access: MemgraphAccess) -> MemgraphInstances:
    return BoltInstances(access, lambda: True)


async def wait_until_connections_are(server: ScriptedServer, count: int) -> None:
    with trio.fail_after(2):
        while len(server.connections) != count:
            await trio.lowlevel.checkpoint()


async def test_same_address_is_the_same_instance(loop: None, access: MemgraphAccess) -> None:
    """Asking again gives the kept one; another name another one, also at the same address."""
    keeper = instances(access)
    async with keeper.running():
        assert keeper.at(ONE, "127.0.0.1") is keeper.at(ONE, "127.0.0.1")
        assert keeper.at(OTHER, "127.0.0.1") is not keeper.at(ONE, "127.0.0.1")


async def test_changed_address_closes_the_old_one(
    loop: None, server: ScriptedServer, access: MemgraphAccess
) -> None:
    """Scenario 8: a recreated pod's old connection is given up at once, and dials no more."""
    keeper = instances(access)
    async with keeper.running():
        old = keeper.at(ONE, "127.0.0.1")
        before = await old.probe()
        new = keeper.at(ONE, "localhost")
        assert (await new.probe()).incarnation != before.incarnation
        await wait_until_connections_are(server, 1)
        with pytest.raises(MemgraphUnreachable):
            await old.probe()


async def test_leaving_closes_everything(
    loop: None, server: ScriptedServer, access: MemgraphAccess
) -> None:
    """After `running` no connection is left, also when it was left by cancellation."""
    for is_cancelled in (False, True):
        keeper = instances(access)
        with trio.CancelScope() as scope:
            async with keeper.running():
                await keeper.at(ONE, "127.0.0.1").probe()
                await keeper.at(OTHER, "127.0.0.1").probe()
                if is_cancelled:
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
        await wait_until_connections_are(server, 0)


async def test_no_address_raises_and_lets_the_old_one_go(
    loop: None, server: ScriptedServer, access: MemgraphAccess
) -> None:
    """Scenario 6: a pod that lost its IP is not dialled, and its old connection is closed."""
    keeper = instances(access)
    async with keeper.running():
        await keeper.at(ONE, "127.0.0.1").probe()
        with pytest.raises(MemgraphUnreachable, match="no address"):
            await keeper.at(ONE, "").probe()
        await wait_until_connections_are(server, 0)
    assert server.accepted_count == 1


def test_importing_the_room_is_cheap() -> None:
    """The command line imports this room; the driver and trio-asyncio come with the first dial."""
    code = (
        "import sys, controller.memgraph;"
        "print([m for m in ('neo4j', 'trio_asyncio', 'yaml') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
