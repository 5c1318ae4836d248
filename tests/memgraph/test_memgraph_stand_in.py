"""The adapter against the Memgraph stand-in as real processes: restarts, kills, stops, faults."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import trio
import trio_asyncio

from controller.errors import (
    CommandOutcomeUnknown,
    LeaseLost,
    MemgraphRefused,
    MemgraphUnreachable,
    MemgraphUnreadable,
)
from controller.memgraph import BoltInstance, BoltInstances, MemgraphAccess, register_error
from controller.ports import Carried, ProbeAnswer
from statemachine.commands import Demote, Drop, Mark, Promote, Register
from statemachine.ids import Instance, Mode, Role, RowStatus, Term

pytestmark = pytest.mark.process

TERM = Term(1)
CHECKOUT = Path(__file__).resolve().parents[2]
BOLT_PORT, REPLICATION_PORT = 37687, 30000
DEADLINE_S = 20.0
POLL_S = 0.02
ACCESS = MemgraphAccess(bolt_port=BOLT_PORT, replication_port=REPLICATION_PORT)


@attrs.define(eq=False)
class Stand:
    """One stand-in process at an address of its own, and the adapter's view of it."""

    name: Instance
    host: str
    directory: Path
    bolt: BoltInstance
    version: str = "3.12.0"
    process: subprocess.Popen[bytes] | None = None

    async def start(self) -> ProbeAnswer:
        """Start the process and wait for its first answer."""
        self.spawn()
        while True:
            try:
                return await self.bolt.probe()
            except MemgraphUnreachable:
                await trio.sleep(POLL_S)

    def end(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            self.process.wait()

    def control_nowait(self, what: str, **details: object) -> None:
        """One fault, in force afterwards; the stand-in is another process and answers at once."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.directory / "control"))
            control.sendall(json.dumps({"do": what, **details}).encode() + b"\n")
            assert json.loads(control.recv(65536))["ok"]

    def spawn(self) -> None:
        """Start the process."""
        command = [
            *(sys.executable, "-m", "controller.sandbox.memgraph"),
            *("--bolt-address", self.host, f"--bolt-port={BOLT_PORT}"),
            *("--data-directory", str(self.directory / "data")),
            f"--stand-in-control={self.directory / 'control'}",
            f"--stand-in-version={self.version}",
        ]
        self.directory.mkdir(exist_ok=True)
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=CHECKOUT, stdout=log, stderr=log)


@pytest.fixture
async def stands(tmp_path: Path) -> AsyncIterator[tuple[Stand, Stand]]:
    """Two stand-ins, not started yet; ended with the test."""
    keeper = BoltInstances(ACCESS, lambda: True)
    net = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}"
    async with trio_asyncio.open_loop(), keeper.running():
        made = []
        for number in (1, 2):
            name, host = Instance(f"memgraph-{number - 1}"), f"{net}.{number}"
            made.append(Stand(name, host, tmp_path / name, keeper.at(name, host)))
        try:
            with trio.fail_after(DEADLINE_S):
                yield made[0], made[1]
        finally:
            for stand in made:
                stand.end()


def register_of(main: Stand, replica: Stand, generation: int) -> Register:
    name = f"{replica.name.replace('-', '_')}_g{generation}"
    address = f"{replica.host}:{REPLICATION_PORT}"
    return Register(main.name, replica.name, name, Mode.STRICT_SYNC, address, TERM)


async def wait_for_row(main: Stand, status: RowStatus) -> None:
    """The main shows one row, with this status."""
    while True:
        answer = await main.bolt.probe()
        if answer.rows and answer.rows[0].status is status:
            return
        await trio.sleep(POLL_S)


async def test_cluster_of_two_from_nothing_to_failover(stands: tuple[Stand, Stand]) -> None:
    """Demote, promote, register, mark; the main is killed; the replica is promoted; the old main
    returns as MAIN, is demoted and registered under a new name."""
    main, replica = stands
    first = await main.start()
    await replica.start()
    await replica.bolt.demote(Demote(replica.name, TERM))
    assert await main.bolt.promote(Promote(main.name, TERM)) == first.incarnation
    await main.bolt.register(register_of(main, replica, 1))
    await wait_for_row(main, RowStatus.READY)
    carried = await main.bolt.mark(Mark(main.name, TERM, ("memgraph_1_g1",)))
    assert carried == Carried(("memgraph_1_g1",))
    assert (await replica.bolt.probe()).storage_uuid == first.storage_uuid
    main.end()
    with pytest.raises(MemgraphUnreachable) as caught:
        await main.bolt.probe()
    assert caught.value.refused
    await replica.bolt.promote(Promote(replica.name, TERM))
    back = await main.start()
    assert (back.role, back.incarnation != first.incarnation) == (Role.MAIN, True)
    await main.bolt.demote(Demote(main.name, TERM))
    await replica.bolt.register(register_of(replica, main, 2))
    await wait_for_row(replica, RowStatus.READY)


async def test_restart_is_a_new_incarnation_and_nothing_else_is(
    stands: tuple[Stand, Stand],
) -> None:
    """The number stays over a demotion, a promotion and a hundred probes, and changes with a
    restart on the same data."""
    stand, _ = stands
    before = await stand.start()
    await stand.bolt.promote(Promote(stand.name, TERM))
    for _ in range(100):
        assert (await stand.bolt.probe()).incarnation == before.incarnation
    stand.end(signal.SIGTERM)
    after = await stand.start()
    assert after.incarnation != before.incarnation
    assert after.storage_uuid == before.storage_uuid


async def test_stopped_process_is_silent_in_time(stands: tuple[Stand, Stand]) -> None:
    """Scenario 12: SIGSTOP leaves TCP alive; both kinds of probes fail within the probe timeout as
    silent, and answer again after SIGCONT."""
    stand, _ = stands
    await stand.start()
    assert stand.process is not None
    stand.process.send_signal(signal.SIGSTOP)
    for ask in (stand.bolt.probe, stand.bolt.probe_fresh):
        began_s = trio.current_time()
        with pytest.raises(MemgraphUnreachable) as caught:
            await ask()
        assert not caught.value.refused
        assert trio.current_time() - began_s < ACCESS.probe_timeout_s + 3.0
    stand.process.send_signal(signal.SIGCONT)
    assert (await stand.bolt.probe()).role is Role.MAIN


async def test_busy_lock_is_overcome(stands: tuple[Stand, Stand]) -> None:
    """Six lock failures in a row are retried within the command."""
    stand, _ = stands
    await stand.start()
    stand.control_nowait("lock-busy", count=6)
    await stand.bolt.demote(Demote(stand.name, TERM))
    assert (await stand.bolt.probe()).role is Role.REPLICA


@pytest.mark.parametrize("number", [1, 2])
async def test_reply_that_is_dropped_is_unknown_and_then_known(
    stands: tuple[Stand, Stand], number: int
) -> None:
    """The answer to the promotion (1) or to its snapshot (2) is dropped after it was carried out:
    unknown, on another connection from then on; the role that is read then is the truth."""
    stand, _ = stands
    await stand.start()
    await stand.bolt.demote(Demote(stand.name, TERM))
    before = await stand.bolt.probe()
    asked = 0

    def drop_next() -> bool:
        nonlocal asked
        asked += 1
        if asked == number:
            stand.control_nowait("drop-reply", count=1)
        return True

    stand.bolt._still_reigning = drop_next  # asked right before each statement
    with pytest.raises(CommandOutcomeUnknown):
        await stand.bolt.promote(Promote(stand.name, TERM))
    after = await stand.bolt.probe()
    assert (before.role, after.role) == (Role.REPLICA, Role.MAIN)


@pytest.mark.parametrize("present", [TERM, Term(TERM + 1)])
async def test_a_role_of_another_term_is_not_asked_for(
    stands: tuple[Stand, Stand], present: Term
) -> None:
    """The ledger may be in a new term before the instance has said what it is: then the command of
    the old one sends nothing (S2; found by the simulation)."""
    stand, _ = stands
    await stand.start()
    await stand.bolt.demote(Demote(stand.name, TERM))
    stand.bolt._present_term = lambda: present
    if present != TERM:
        with pytest.raises(LeaseLost):
            await stand.bolt.promote(Promote(stand.name, TERM))
    else:
        await stand.bolt.promote(Promote(stand.name, TERM))
    role = (await stand.bolt.probe()).role
    assert role is (Role.MAIN if present == TERM else Role.REPLICA)


async def test_refused_registrations_carry_their_numbers(stands: tuple[Stand, Stand]) -> None:
    """Scenario 14 on the stand-in: the name again is 1, the address again is 2."""
    main, replica = stands
    await main.start()
    await replica.start()
    await replica.bolt.demote(Demote(replica.name, TERM))
    await main.bolt.register(register_of(main, replica, 1))
    for generation, number in ((1, 1), (2, 2)):
        with pytest.raises(MemgraphRefused) as caught:
            await main.bolt.register(register_of(main, replica, generation))
        assert register_error(caught.value.message) == number
    for _ in range(2):
        await main.bolt.drop(Drop(main.name, "memgraph_1_g1", TERM))
    assert (await main.bolt.probe()).rows == ()


async def test_marker_with_a_missing_replica_does_not_go_through(
    stands: tuple[Stand, Stand],
) -> None:
    """L6, L7: the row may still say ready; the marker then fails, and the next one is not even
    written."""
    main, replica = stands
    await main.start()
    await replica.start()
    await replica.bolt.demote(Demote(replica.name, TERM))
    await main.bolt.register(register_of(main, replica, 1))
    await wait_for_row(main, RowStatus.READY)
    replica.end()
    for _ in range(2):
        with pytest.raises(MemgraphRefused):
            await main.bolt.mark(Mark(main.name, TERM, ("memgraph_1_g1",)))
    assert (await main.bolt.probe(count_nodes=True)).node_count == 0


@pytest.mark.parametrize("version", ["3.6.1", "3.4.0"])
async def test_other_versions(stands: tuple[Stand, Stand], version: str) -> None:
    """3.6.1 shows its storage UUID in the plain form; 3.4 is refused with the reason."""
    stand, _ = stands
    stand.version = version
    if version == "3.4.0":
        with pytest.raises(MemgraphUnreadable, match="not supported"):
            await stand.start()
    else:
        assert (await stand.start()).storage_uuid
