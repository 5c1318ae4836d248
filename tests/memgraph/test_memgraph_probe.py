"""Probes: the kept connection and its incarnation, fresh dials, and what each failure proves."""

from collections.abc import Callable
from contextlib import suppress

import pytest
import trio
from scripted_server import DROP_BEFORE, HANG, HANG_AT_RUN, ScriptedServer

from controller.errors import (
    MemgraphAuthFailed,
    MemgraphRefused,
    MemgraphUnreachable,
    MemgraphUnreadable,
)
from controller.memgraph import BoltInstance, MemgraphAccess
from statemachine.ids import Role, RowStatus

Make = Callable[..., BoltInstance]
READY = {"memgraph": {"behind": 0, "status": "ready", "ts": 2}}


async def test_unbroken_connection_keeps_its_incarnation(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """Hundreds of probes over an unbroken connection show one incarnation and dial once."""
    seen = {(await instance.probe()).incarnation for _ in range(200)}
    assert len(seen) == 1
    assert server.accepted_count == 1
    assert {number for number, _ in server.seen} == {1}


async def test_cut_connection_is_a_new_incarnation(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """The same process behind a new TCP connection is another incarnation, told at once."""
    before = await instance.probe()
    await server.cut_all()
    after = await instance.probe()
    assert after.incarnation != before.incarnation
    assert server.accepted_count == 2


async def test_connection_cut_within_a_probe_never_mixes_two(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """When the connection breaks after the role was read, that probe fails: the answers of one
    probe never come over two connections."""
    before = await instance.probe()
    server.faults["SHOW REPLICAS"] = [DROP_BEFORE]
    with pytest.raises(MemgraphUnreachable):
        await instance.probe()
    assert (await instance.probe()).incarnation != before.incarnation


async def test_incarnations_are_unique_in_the_process(make: Make) -> None:
    """Two instances never share a number."""
    one, other = await make().probe(), await make().probe()
    assert one.incarnation != other.incarnation


async def test_probe_of_a_main_has_everything(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """Role, version, storage UUID, rows and, when asked for, the node count are in one answer."""
    server.rows = [["r", "10.0.0.2:10000", "strict_sync", None, READY]]
    server.node_count = 3
    answer = await instance.probe(count_nodes=True)
    assert (answer.role, answer.version, answer.storage_uuid) == (Role.MAIN, "3.12.0", "uuid-1")
    assert answer.rows is not None
    assert answer.rows[0].status is RowStatus.READY
    assert answer.node_count == 3
    assert (await instance.probe()).node_count is None


async def test_probe_of_a_replica_has_no_rows(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """A replica is not asked for rows, which it would refuse: None, not an empty tuple."""
    server.role = "replica"
    answer = await instance.probe()
    assert (answer.role, answer.rows) == (Role.REPLICA, None)


async def test_storage_uuid_is_asked_again_and_version_is_not(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """An empty replica takes over its main's UUID in place: each probe shows the present one."""
    await instance.probe()
    server.storage_uuid = "uuid-of-the-main"
    assert (await instance.probe()).storage_uuid == "uuid-of-the-main"
    assert server.statements.count("SHOW VERSION") == 1


async def test_older_memgraph_shows_its_uuid_in_the_plain_form(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """Up to 3.10 the database form is no statement: the plain one is asked, and remembered."""
    server.version, server.knows_current_database = "3.6.1", False
    for _ in range(3):
        assert (await instance.probe()).storage_uuid == "uuid-1"
    assert server.statements.count("SHOW STORAGE INFO ON CURRENT DATABASE") == 1
    assert server.accepted_count == 1


async def test_version_below_3_5_is_refused_at_every_probe(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """A 3.4 is unreadable with the reason, each time, and never an answer."""
    server.version = "3.4.0"
    for _ in range(2):
        with pytest.raises(MemgraphUnreadable, match=r"3\.4\.0 is not supported"):
            await instance.probe()


async def test_wrong_password_is_told_apart(server: ScriptedServer, make: Make) -> None:
    """Memgraph's plain client error for a wrong password is MemgraphAuthFailed; the right one
    logs in."""
    server.password = "right"
    for ask in (make(user="u", password="wrong").probe, make(user="u", password="x").probe_fresh):
        with pytest.raises(MemgraphAuthFailed):
            await ask()
    assert (await make(user="u", password="right").probe()).role is Role.MAIN


def test_password_is_not_shown() -> None:
    """The password is in no repr, and so in no log."""
    assert "s3cret" not in repr(MemgraphAccess(user="u", password="s3cret"))


async def test_port_where_nobody_listens_is_refused(make: Make) -> None:
    """ECONNREFUSED proves that no process listens."""
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    for ask in (make(bolt_port=port).probe, make(bolt_port=port).probe_fresh):
        with pytest.raises(MemgraphUnreachable) as caught:
            await ask()
        assert caught.value.refused


@pytest.mark.parametrize("where", [HANG, HANG_AT_RUN])
async def test_hung_server_is_silent_within_the_probe_timeout(
    server: ScriptedServer, make: Make, where: str
) -> None:
    """Scenario 12: a server that takes the question and never answers is silent, in time; the
    link is given up, so that a late answer is never taken for the next one's."""
    instance = make(probe_timeout_s=0.15)
    before = await instance.probe()
    server.faults["SHOW REPLICATION ROLE"] = [where]
    began_s = trio.current_time()
    with pytest.raises(MemgraphUnreachable) as caught:
        await instance.probe()
    assert not caught.value.refused
    assert trio.current_time() - began_s < 3.0  # not the driver's own 30 s
    assert (await instance.probe()).incarnation != before.incarnation


async def test_server_that_accepts_and_stays_silent_is_silent(
    server: ScriptedServer, make: Make
) -> None:
    """A listening process that does not even shake hands is silent within the probe timeout."""
    server.is_silent = True
    instance = make(probe_timeout_s=0.15)
    for ask in (instance.probe, instance.probe_fresh):
        began_s = trio.current_time()
        with pytest.raises(MemgraphUnreachable) as caught:
            await ask()
        assert not caught.value.refused
        assert trio.current_time() - began_s < 3.0


async def test_peer_that_speaks_no_bolt_is_unreachable(make: Make) -> None:
    """Whatever else listens on the port is an error of ours, not a foreign exception."""
    for noise in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\2\5\0\3abc\0\0", b"\0"):

        async def babble(stream: trio.SocketStream, noise: bytes = noise) -> None:
            async with stream:
                await stream.receive_some()
                await stream.send_all(noise)

        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, babble, 0)
            port = listeners[0].socket.getsockname()[1]
            with pytest.raises(MemgraphUnreachable):
                await make(bolt_port=port).probe_fresh()
            nursery.cancel_scope.cancel()


async def test_empty_host_opens_no_socket(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario 6: without an address every method raises before anything is dialled."""

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("a driver was made")

    monkeypatch.setattr("controller.memgraph.link._one_connection", never)
    instance = make("")
    for ask in (instance.probe, instance.probe_fresh):
        with pytest.raises(MemgraphUnreachable, match="no address"):
            await ask()


async def test_refused_question_is_an_answer(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """A server that answers with an error lives; its connection goes on."""
    before = await instance.probe()
    server.faults["SHOW REPLICAS"] = ["Something odd."]
    with pytest.raises(MemgraphRefused, match="Something odd") as caught:
        await instance.probe()
    assert caught.value.statement == "SHOW REPLICAS"
    assert (await instance.probe()).incarnation == before.incarnation


async def test_fresh_probe_dials_anew_and_leaves_the_kept_one(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """Scenario 11: a fresh probe is a new connection each time, closed after it."""
    before = await instance.probe()
    assert await instance.probe_fresh() is Role.MAIN
    assert await instance.probe_fresh() is Role.MAIN
    assert server.accepted_count == 3
    assert (await instance.probe()).incarnation == before.incarnation
    with trio.fail_after(1):
        while len(server.connections) > 1:
            await trio.lowlevel.checkpoint()


async def test_ping_is_bound_to_the_incarnation(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """A ping answers over that very connection or raises; it never dials."""
    incarnation = (await instance.probe()).incarnation
    assert await instance.ping(incarnation) is Role.MAIN
    await server.cut_all()
    for _ in range(2):
        with pytest.raises(MemgraphUnreachable):
            await instance.ping(incarnation)
    assert server.accepted_count == 1
    await instance.probe()
    with pytest.raises(MemgraphUnreachable):
        await instance.ping(incarnation)


async def test_probes_at_once_share_one_connection(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """Many askers wait for their turn; nobody opens a second kept connection."""
    seen = set()

    async def ask() -> None:
        seen.add((await instance.probe()).incarnation)

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(ask)
    assert len(seen) == 1
    assert server.accepted_count == 1


async def test_cancelled_probe_leaves_nothing_open(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """Cancellation at any moment of a probe leaks no connection and breaks no later probe."""
    for turn in range(40):
        if turn % 5 == 0:
            await server.cut_all()
        with trio.move_on_after(turn * 0.0005), suppress(MemgraphUnreachable):
            await instance.probe()
    assert (await instance.probe()).role is Role.MAIN
    with trio.fail_after(2):
        while len(server.connections) > 1:
            await trio.lowlevel.checkpoint()


async def test_closed_instance_dials_no_more(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """After aclose no connection is left and none is made."""
    await instance.probe()
    await instance.aclose()
    with pytest.raises(MemgraphUnreachable, match="given up"):
        await instance.probe()
    with trio.fail_after(1):
        while server.connections:
            await trio.lowlevel.checkpoint()
    assert server.accepted_count == 1
