"""REGISTER, DROP and the marker: what is checked before, and what is concluded after."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
from scripted_server import DROP_BEFORE, DROP_REPLY, HANG, ScriptedServer

from controller.errors import (
    CommandOutcomeUnknown,
    LeaseLost,
    MemgraphRefused,
    MemgraphUnreachable,
)
from controller.memgraph import BoltInstance, register_error, registrations
from controller.ports import Carried
from statemachine.commands import Drop, Mark, Register
from statemachine.ids import Instance, Mode, Term

MAIN, REPLICA = Instance("memgraph-0"), Instance("memgraph-1")
NAME = "memgraph_1_g42"
MARKER = "CREATE (n:`__memgraph_controller`) DELETE n"


@pytest.fixture
async def replica_port() -> AsyncIterator[int]:
    """A port where something accepts, as a replica's replication server does."""

    async def take(stream: trio.SocketStream) -> None:
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, take, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def register_on(port: int, name: str = NAME, host: str = "127.0.0.1") -> Register:
    return Register(MAIN, REPLICA, name, Mode.STRICT_SYNC, f"{host}:{port}", Term(7))


def row(
    name: str = NAME, mode: str = "strict_sync", status: str = "ready", **info: Any
) -> list[Any]:
    data = {"memgraph": {"behind": 0, "ts": 2, "status": status, **info}}
    return [name, "10.0.0.2:10000", mode, None, data]


def drop_of(name: str = NAME) -> Drop:
    return Drop(MAIN, name, Term(7))


def mark_for(*names: str) -> Mark:
    return Mark(MAIN, Term(7), names)


async def test_register_of_a_listening_replica_is_sent(
    server: ScriptedServer, instance: BoltInstance, replica_port: int
) -> None:
    """One statement, on a connection of its own: probes do not wait for it."""
    await instance.probe()
    await instance.register(register_on(replica_port))
    wanted = f'REGISTER REPLICA `{NAME}` STRICT_SYNC TO "127.0.0.1:{replica_port}"'
    assert server.changes() == [wanted]
    assert server.seen[-1][0] == 2


async def test_register_of_a_deaf_replica_is_not_sent(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """L9: a replica that does not accept on its replication port is left alone."""
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(MemgraphUnreachable, match=f"replication port 127.0.0.1:{port}"):
        await instance.register(register_on(port))
    assert server.accepted_count == 0


async def test_register_of_a_silent_replica_is_not_sent(
    server: ScriptedServer, instance: BoltInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that drops every packet costs LISTEN_CHECK_S here, not 5 s on the main."""

    async def silence(host: str, port: int) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(registrations, "LISTEN_CHECK_S", 0.05)
    monkeypatch.setattr(trio, "open_tcp_stream", silence)
    with pytest.raises(MemgraphUnreachable, match="silent"):
        await instance.register(register_on(10000))
    assert server.accepted_count == 0


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
async def test_refused_register_carries_its_number(
    server: ScriptedServer, instance: BoltInstance, replica_port: int, number: int
) -> None:
    """Scenario 14: the number of Memgraph's text survives to the executor."""
    server.faults["REGISTER"] = [f"Couldn't register replica {NAME}. Error: {number}"]
    with pytest.raises(MemgraphRefused) as caught:
        await instance.register(register_on(replica_port))
    assert register_error(caught.value.message) == number


@pytest.mark.parametrize("fault", [DROP_REPLY, DROP_BEFORE, HANG])
async def test_lost_answer_of_register_is_unknown(
    server: ScriptedServer, instance: BoltInstance, replica_port: int, fault: str
) -> None:
    """A REGISTER without an answer may have left a row: unknown."""
    server.faults["REGISTER"] = [fault]
    with pytest.raises(CommandOutcomeUnknown):
        await instance.register(register_on(replica_port))


async def test_unfit_name_or_address_is_not_sent(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """Scenario 13: what could break out of the statement never reaches a connection."""
    with pytest.raises(MemgraphRefused, match="no replica name"):
        await instance.register(register_on(10000, name="a` b"))
    with pytest.raises(MemgraphRefused, match="no address"):
        await instance.register(register_on(10000, host='x";'))
    with pytest.raises(MemgraphRefused, match="no replica name"):
        await instance.drop(drop_of("x;y"))
    assert server.changes() == []


async def test_register_after_the_reign_is_not_sent(
    server: ScriptedServer,
    instance: BoltInstance,
    replica_port: int,
    reign: Callable[[], bool],
) -> None:
    """S9 holds for every statement that changes something."""
    reign.is_on = False  # type: ignore[attr-defined]
    for ask in (
        lambda: instance.register(register_on(replica_port)),
        lambda: instance.drop(drop_of()),
        lambda: instance.mark(mark_for()),
    ):
        with pytest.raises(LeaseLost):
            await ask()
    assert server.changes() == []


async def test_drop_of_a_row_that_is_gone_is_done(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """Dropping is idempotent: refused because there is no such row is what was wanted."""
    server.faults["DROP"] = [f"Failed to unregister the replica {NAME}."]
    await instance.drop(drop_of())
    server.rows = [row()]
    server.faults["DROP"] = ["Failed to unregister replica due to lack of unique access over ..."]
    with pytest.raises(MemgraphRefused, match="unique access"):
        await instance.drop(drop_of())


async def test_marker_tells_the_rows_it_went_through(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """Only synchronous rows that take part are carried; the marker is written once."""
    server.rows = [
        row(),
        row("lagging", status="recovery"),
        row("gone", status="invalid"),
        row("asynchronous", mode="async"),
        row("late", mode="sync", behind=-2),
        [*row("zombie")[:4], {}],
        row("ahead", behind=4),
        row("behind", behind=-2),
    ]
    assert await instance.mark(mark_for(NAME)) == Carried((NAME, "behind"))
    assert server.changes() == [MARKER]


@pytest.mark.parametrize(
    "after",
    [
        [],
        [row(status="invalid")],
        [row(status="diverged")],
        [row(status="recovery")],
        [row(mode="async")],
        [[*row()[:1], "10.0.0.9:10000", *row()[2:]]],
        [row(behind=9)],
        [row("memgraph_1_g43")],
    ],
)
async def test_row_that_did_not_stand_through_the_marker_is_not_carried(
    server: ScriptedServer, instance: BoltInstance, after: list[list[Any]]
) -> None:
    """A row that is gone, lower, elsewhere or broken after the marker proves nothing."""
    server.rows = [row()]

    def change(statement: str) -> None:
        if statement == MARKER:
            server.rows = after

    server.on_carried_out = change
    assert await instance.mark(mark_for(NAME)) == Carried(())


@pytest.mark.parametrize(
    ("after", "carried"),
    [
        (row(mode="sync"), (NAME,)),
        (row(mode="sync", behind=-2), ()),
        (row(mode="sync", status="replicating"), ()),
        (row(mode="sync", status="invalid"), ()),
    ],
)
async def test_sync_row_is_carried_only_when_nothing_is_missing_afterwards(
    server: ScriptedServer, instance: BoltInstance, after: list[Any], carried: tuple[str, ...]
) -> None:
    """A SYNC row does not stop a commit (MEMGRAPH 3.2): only `ready` and nothing behind after the
    marker shows that the replica has it (S3)."""
    server.rows = [row(mode="sync")]

    def change(statement: str) -> None:
        if statement == MARKER:
            server.rows = [after]

    server.on_carried_out = change
    assert await instance.mark(mark_for(NAME)) == Carried(carried)


async def test_row_that_ships_the_next_commit_is_carried(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """`replicating` after the marker is a later commit under way, not a doubt."""
    server.rows = [row()]

    def change(statement: str) -> None:
        if statement == MARKER:
            server.rows = [row(status="replicating", behind=-2)]

    server.on_carried_out = change
    assert await instance.mark(mark_for(NAME)) == Carried((NAME,))


@pytest.mark.parametrize("rows", [[], [row(status="invalid")], [row(mode="async")], [row("other")]])
async def test_marker_that_could_not_prove_is_not_written(
    server: ScriptedServer, instance: BoltInstance, rows: list[list[Any]]
) -> None:
    """While a wanted row is no ready synchronous row, nothing is written."""
    server.rows = rows
    with pytest.raises(MemgraphRefused, match=NAME) as caught:
        await instance.mark(mark_for(NAME))
    assert register_error(caught.value.message) is None
    assert server.changes() == []


async def test_marker_that_the_main_aborts_is_refused(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """L6: with a STRICT_SYNC replica missing the write fails, and nothing is carried."""
    server.rows = [row()]
    server.faults["CREATE"] = [
        f"Replication Exception: Failed to replicate to STRICT_SYNC replica '{NAME}': RPC "
        "communication error. Transaction was aborted on all instances."
    ]
    with pytest.raises(MemgraphRefused, match="aborted on all instances"):
        await instance.mark(mark_for(NAME))


async def test_marker_without_an_answer_or_rows_after_it_is_unknown(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """A marker whose answer was lost, or after which the rows could not be read, is unknown."""
    server.rows = [row()]
    server.faults["CREATE"] = [DROP_REPLY]
    with pytest.raises(CommandOutcomeUnknown):
        await instance.mark(mark_for(NAME))

    def lose(statement: str) -> None:
        if statement == MARKER:
            server.faults["SHOW REPLICAS"] = [DROP_BEFORE]

    server.on_carried_out = lose
    with pytest.raises(CommandOutcomeUnknown, match="not read back"):
        await instance.mark(mark_for(NAME))


async def test_marker_on_a_replica_is_refused(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """Only a main has rows; nothing is written anywhere else."""
    server.role = "replica"
    with pytest.raises(MemgraphRefused, match="main instance"):
        await instance.mark(mark_for())
    assert server.changes() == []
