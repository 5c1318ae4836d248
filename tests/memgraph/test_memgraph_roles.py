"""Demote and promote: what is read before and after, and what a lost answer is called."""

from collections.abc import Callable

import pytest
import trio
import trio.testing
from scripted_server import DROP_BEFORE, DROP_REPLY, HANG, HANG_AT_RUN, ScriptedServer

from controller.errors import (
    CommandOutcomeUnknown,
    LeaseLost,
    MemgraphRefused,
    MemgraphUnreachable,
    MemgraphUnreadable,
)
from controller.memgraph import BoltInstance, MemgraphAccess, roles
from controller.memgraph.link import Link
from statemachine.commands import Demote, Promote
from statemachine.ids import Instance, Role, Term

DEMOTE = Demote(Instance("memgraph-0"), Term(7))
PROMOTE = Promote(Instance("memgraph-0"), Term(7))
TO_MAIN = "SET REPLICATION ROLE TO MAIN"
TO_REPLICA = "SET REPLICATION ROLE TO REPLICA WITH PORT 10000"
SNAPSHOT = "CREATE SNAPSHOT"
BUSY = "Couldn't set role to replica!"
BUSY_MAIN = "Couldn't set replication role to main!"


async def test_demote_reads_sends_and_reads_back(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """The role is read before, the statement sent once, and the role read back, on one connection
    whose incarnation is told."""
    incarnation = (await instance.probe()).incarnation
    server.seen.clear()
    assert await instance.demote(DEMOTE) == incarnation
    role = "SHOW REPLICATION ROLE"
    assert server.statements[-3:] == [role, TO_REPLICA, role]
    assert {number for number, _ in server.seen} == {1}
    assert server.role == "replica"


async def test_demote_of_a_replica_sends_nothing(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """A REPLICA already: done without a statement, which Memgraph would refuse."""
    server.role = "replica"
    await instance.demote(DEMOTE)
    assert server.changes() == []


async def test_demote_goes_on_while_the_lock_is_busy(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """Spurious lock failures are tried again, each after a fresh read of the role (L14)."""
    server.faults[TO_REPLICA] = [BUSY] * 5 + [
        "Multiple concurrent system queries are not supported."
    ]
    await instance.demote(DEMOTE)
    assert server.changes() == [TO_REPLICA] * 7
    for at, statement in enumerate(server.statements):
        if statement == TO_REPLICA:
            assert server.statements[at - 1] == "SHOW REPLICATION ROLE"


async def test_lock_that_stays_busy_is_refused_in_the_end(
    server: ScriptedServer, instance: BoltInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After RETRY_MAX_S the refusal is told, with Memgraph's text."""
    monkeypatch.setattr(roles, "RETRY_MAX_S", 0.05)
    server.faults[TO_REPLICA] = [BUSY] * 1000
    with pytest.raises(MemgraphRefused, match="Couldn't set role"):
        await instance.demote(DEMOTE)
    assert len(server.changes()) > 1


async def test_refusal_that_is_no_lock_is_not_repeated(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """A lasting refusal is told at once."""
    server.faults[TO_REPLICA] = ["Replication query requires IN_MEMORY_TRANSACTIONAL mode."]
    with pytest.raises(MemgraphRefused, match="IN_MEMORY_TRANSACTIONAL"):
        await instance.demote(DEMOTE)
    assert server.changes() == [TO_REPLICA]


async def test_refusal_with_the_wanted_role_is_success(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """The text of a refusal decides nothing; the role that is read after it does."""
    server.faults[TO_REPLICA] = [BUSY]

    def become_replica(statement: str) -> None:
        server.role = "replica"

    server.on_refused = become_replica
    await instance.demote(DEMOTE)
    assert server.changes() == [TO_REPLICA]


async def test_unknown_role_stops_the_command(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """A role that nobody knows is not taken for "not the wanted one": nothing is sent."""
    server.role = "coordinator"
    with pytest.raises(MemgraphUnreadable):
        await instance.demote(DEMOTE)
    assert server.changes() == []


@pytest.mark.parametrize("fault", [DROP_REPLY, DROP_BEFORE, HANG, HANG_AT_RUN])
@pytest.mark.parametrize(
    ("role", "statement", "command"),
    [("main", TO_REPLICA, DEMOTE), ("replica", TO_MAIN, PROMOTE), ("replica", SNAPSHOT, PROMOTE)],
)
async def test_lost_answer_is_an_unknown_outcome(
    server: ScriptedServer,
    instance: BoltInstance,
    role: str,
    statement: str,
    command: Demote | Promote,
    fault: str,
) -> None:
    """Scenario 10: once sent, no answer means unknown, whether it was carried out or not; never
    "unreachable", and never sent a second time."""
    server.role = role
    server.faults[statement] = [fault]
    with pytest.raises(CommandOutcomeUnknown):
        await _run(instance, command)
    assert server.changes().count(statement) == 1


async def test_timed_out_command_aborts_its_connection(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """S9: on a timeout the connection is aborted, so the next probe is another incarnation."""
    before = await instance.probe()
    server.faults[TO_REPLICA] = [HANG]
    with pytest.raises(CommandOutcomeUnknown):
        await instance.demote(DEMOTE)
    assert (await instance.probe()).incarnation != before.incarnation


async def test_break_before_anything_was_sent_is_unreachable(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """When only the role was asked, nothing can have happened: unreachable."""
    server.faults["SHOW REPLICATION ROLE"] = [DROP_BEFORE, DROP_BEFORE]
    with pytest.raises(MemgraphUnreachable):
        await instance.demote(DEMOTE)
    assert server.changes() == []


async def test_lost_read_back_is_an_unknown_outcome(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """The statement was answered and the connection broke before the read back: unknown."""
    await instance.probe()

    def lose(statement: str) -> None:
        if statement == TO_REPLICA:
            server.faults["SHOW REPLICATION ROLE"] = [DROP_BEFORE]

    server.on_carried_out = lose
    with pytest.raises(CommandOutcomeUnknown, match="not read back"):
        await instance.demote(DEMOTE)


async def test_promote_pins_and_reads_back(server: ScriptedServer, instance: BoltInstance) -> None:
    """SET ROLE, then the snapshot, then the role once more over the connection of the SET ROLE."""
    server.role = "replica"
    incarnation = (await instance.probe()).incarnation
    assert await instance.promote(PROMOTE) == incarnation
    assert server.changes() == [TO_MAIN, SNAPSHOT]
    assert server.seen[-1] == (1, "SHOW REPLICATION ROLE")
    assert (await instance.probe()).role is Role.MAIN


async def test_promote_of_a_main_demotes_it_first(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """S11: a MAIN is not known to be pinned, so it is made REPLICA and MAIN again."""
    await instance.promote(PROMOTE)
    assert server.changes() == [TO_REPLICA, TO_MAIN, SNAPSHOT]


async def test_promote_goes_on_while_the_lock_is_busy(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """A replica that is loading WAL files refuses for a while (MEMGRAPH 1.5)."""
    server.role = "replica"
    server.faults[TO_MAIN] = [BUSY_MAIN] * 3
    await instance.promote(PROMOTE)
    assert server.changes() == [TO_MAIN] * 4 + [SNAPSHOT]


async def test_restart_between_promotion_and_snapshot_is_unknown(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """F7: when the kept connection broke, the snapshot may be another process's and pins the old
    epoch: that is no promotion."""
    server.role = "replica"
    await instance.probe()

    def break_kept(statement: str) -> None:
        if statement == SNAPSHOT:
            server.faults["SHOW REPLICATION ROLE"] = [DROP_BEFORE]

    server.on_carried_out = break_kept
    with pytest.raises(CommandOutcomeUnknown):
        await instance.promote(PROMOTE)


async def test_refused_snapshot_is_no_promotion(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """An unpinned MAIN is told as refused, not as done; the next try demotes it first."""
    server.role = "replica"
    server.faults[SNAPSHOT] = ["Failed to create a snapshot."]
    with pytest.raises(MemgraphRefused, match="snapshot"):
        await instance.promote(PROMOTE)
    server.seen.clear()
    await instance.promote(PROMOTE)
    assert server.changes() == [TO_REPLICA, TO_MAIN, SNAPSHOT]


async def test_role_lost_during_the_snapshot_is_refused(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """Demoted by somebody else after the snapshot: read back, and not called a promotion."""
    server.role = "replica"

    def demoted(statement: str) -> None:
        if statement == SNAPSHOT:
            server.role = "replica"

    server.on_carried_out = demoted
    with pytest.raises(MemgraphRefused, match="replica again"):
        await instance.promote(PROMOTE)


async def test_long_snapshot_leaves_probes_their_connection(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """While a snapshot takes its time, the kept connection goes on answering pings."""
    server.role = "replica"
    incarnation = (await instance.probe()).incarnation
    server.faults[SNAPSHOT] = [HANG]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(instance.promote, PROMOTE)
        with trio.fail_after(2):
            while SNAPSHOT not in server.statements:
                await trio.lowlevel.checkpoint()
        assert await instance.ping(incarnation) is Role.MAIN
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("command", [DEMOTE, PROMOTE])
async def test_nothing_is_sent_after_the_reign(
    server: ScriptedServer,
    instance: BoltInstance,
    reign: Callable[[], bool],
    command: Demote | Promote,
) -> None:
    """S9: the reign is looked at right before a statement; when it is over, nothing is sent."""
    server.role = "main" if command is DEMOTE else "replica"
    reign.is_on = False  # type: ignore[attr-defined]
    with pytest.raises(LeaseLost):
        await _run(instance, command)
    assert server.changes() == []


async def test_reign_that_ends_between_two_statements_stops_the_second(
    server: ScriptedServer, instance: BoltInstance, reign: Callable[[], bool]
) -> None:
    """Looked at before each statement, not once for the command."""

    def depose(statement: str) -> None:
        if statement == TO_REPLICA:
            reign.is_on = False  # type: ignore[attr-defined]

    server.on_carried_out = depose
    with pytest.raises(LeaseLost):
        await instance.promote(PROMOTE)
    assert server.changes() == [TO_REPLICA]


async def test_reign_that_ends_while_a_statement_waits_for_its_turn_stops_it(
    loop: None, server: ScriptedServer, access: MemgraphAccess, reign: Callable[[], bool]
) -> None:
    """The look at the reign is the last thing before the bytes: not before the wait for a probe
    that is under way on the same connection. A link that broke meanwhile is no unknown outcome."""
    link = await Link.dial("127.0.0.1", access, limit_s=1)
    command = roles.ReignedLink(link, access, reign)

    async def expect(error: type[Exception]) -> None:
        with pytest.raises(error):
            await command.change(TO_REPLICA)

    async with trio.open_nursery() as nursery:
        await link._turn.acquire()
        nursery.start_soon(expect, LeaseLost)
        await trio.testing.wait_all_tasks_blocked()
        reign.is_on = False  # type: ignore[attr-defined]
        link._turn.release()
    reign.is_on = True  # type: ignore[attr-defined]
    await link.aclose()
    await expect(MemgraphUnreachable)
    assert server.changes() == []


async def test_snapshot_that_cannot_be_sent_is_an_unknown_outcome(
    server: ScriptedServer, make: Callable[..., BoltInstance]
) -> None:
    """Promoted, and then no connection for the snapshot: not called unreachable, which would say
    that nothing had happened."""
    instance = make(connect_timeout_s=0.1)
    server.role = "replica"
    await instance.probe()

    def go_silent(statement: str) -> None:
        server.is_silent = statement == TO_MAIN or server.is_silent

    server.on_carried_out = go_silent
    with pytest.raises(CommandOutcomeUnknown, match="not read back"):
        await instance.promote(PROMOTE)


async def test_cancelled_command_aborts_its_connection(
    server: ScriptedServer, instance: BoltInstance
) -> None:
    """A command cut short leaves no connection on which it could still be read."""
    incarnation = (await instance.probe()).incarnation
    server.faults[TO_REPLICA] = [HANG]
    with trio.move_on_after(0.05) as scope:
        await instance.demote(DEMOTE)
    assert scope.cancelled_caught
    with pytest.raises(MemgraphUnreachable):
        await instance.ping(incarnation)


async def _run(instance: BoltInstance, command: Demote | Promote) -> None:
    if isinstance(command, Demote):
        await instance.demote(command)
    else:
        await instance.promote(command)
