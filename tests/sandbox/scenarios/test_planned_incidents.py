"""Planned changes, renewals and resets on real processes: controllers and the hook are the real
programs, the database and Kubernetes are stand-ins."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import neo4j
import pytest
import trio
from neo4j.exceptions import DriverError, Neo4jError
from test_incidents import CONTROLLER, LIMIT_S, ask, triggers, until, write

from controller.sandbox.world import Sandbox, SandboxOptions, open_sandbox

pytestmark = pytest.mark.process


@contextmanager
def kept(address: str) -> Iterator[neo4j.Transaction]:
    """An open transaction: it lives exactly as long as its one connection."""
    with (
        neo4j.GraphDatabase.driver(f"bolt://{address}", auth=None, connection_timeout=3) as driver,
        driver.session() as session,
    ):
        tx = session.begin_transaction()
        yield tx
        try:
            tx.close()
        except (Neo4jError, DriverError, OSError):
            return  # it was cut


def lives(tx: neo4j.Transaction) -> bool:
    """Whether the connection is still the one that was opened."""
    try:
        return tx.run("RETURN 1 AS one").single(strict=True)["one"] == 1
    except (Neo4jError, DriverError, OSError):
        return False


async def restart(sandbox: Sandbox, instance: str) -> None:
    """Delete the pod as `kubectl rollout restart` would, and wait until all is whole again."""
    uid = sandbox.uid(instance)
    await sandbox.delete(instance)
    await until(lambda: sandbox.uid(instance) not in ("", uid), f"a new pod {instance}")
    await sandbox.wait_whole(60)


async def test_a_renewal_leaves_readers_alone() -> None:
    """A sync replica restarts, the epoch is renewed, RW is cut for a moment; a reader's connection
    to the other replica is the same before and after."""
    with trio.fail_after(LIMIT_S):
        async with open_sandbox(SandboxOptions()) as sandbox:
            await sandbox.wait_whole(40)
            await write(sandbox, CONTROLLER, 1)
            with ExitStack() as stack:
                gateway = sandbox.read_gateway(CONTROLLER)
                readers = [stack.enter_context(kept(gateway)) for _ in range(2)]
                assert all([await trio.to_thread.run_sync(lives, tx) for tx in readers])
                sandbox.kill("memgraph-1")
                await until(lambda: "renewal_started" in triggers(sandbox), "a renewal")
                await sandbox.wait_whole(60)
                alive = [await trio.to_thread.run_sync(lives, tx) for tx in readers]
            assert sorted(alive) == [False, True]  # fewest sessions: one reader on each replica
            assert sandbox.noted("main") == "memgraph-0"


async def test_a_rolling_restart_hands_over_and_refuses_nobody() -> None:
    """Pods 2, 1, 0 are deleted: the hooks wait, the main hands over to a complete copy, nobody is
    lost or refused, and every write stands everywhere (scenarios 72, 73, 75)."""
    with trio.fail_after(2 * LIMIT_S):
        async with open_sandbox(SandboxOptions()) as sandbox:
            await sandbox.wait_whole(40)
            begun = len(triggers(sandbox))
            for number, instance in enumerate(reversed(sandbox.instances)):
                await write(sandbox, CONTROLLER, number)
                await restart(sandbox, instance)
            happened = triggers(sandbox)[begun:]
            assert {"main_lost", "instance_refused"}.isdisjoint(happened)
            assert "switchover_started" in happened
            for instance in sandbox.instances:
                rows = await ask(sandbox.bolt(instance), "MATCH (n:Write) RETURN n.id")
                assert sorted(row[0] for row in rows) == [0, 1, 2], instance


async def test_without_renewal_a_refused_instance_is_rebuilt_by_itself() -> None:
    """With EPOCH_RENEWAL=off a sync that restarted within its epoch refuses everybody once it is
    promoted (false divergence, MEMGRAPH L4): each refused one is set aside and copied anew."""
    options = SandboxOptions(env={"EPOCH_RENEWAL": "off", "SYNC_GRACE": "20s"})
    with trio.fail_after(2 * LIMIT_S):
        async with open_sandbox(options) as sandbox:
            await sandbox.wait_whole(40)
            sandbox.kill("memgraph-1")
            await write(sandbox, CONTROLLER, 1)
            await sandbox.wait_whole(40)
            await write(sandbox, CONTROLLER, 2)
            assert "renewal_started" not in triggers(sandbox)
            sandbox.kill("memgraph-0")
            await write(sandbox, CONTROLLER, 3)
            await until(lambda: "reset_done" in triggers(sandbox), "a reset")
            await sandbox.wait_whole(90)
            assert "instance_refused" in triggers(sandbox)
            assert sandbox.noted("main") == "memgraph-1"
            for instance in sandbox.instances:
                rows = await ask(sandbox.bolt(instance), "MATCH (n:Write) RETURN n.id")
                assert sorted(row[0] for row in rows) == [1, 2, 3], instance


async def test_the_gateways_can_be_checked_by_anybody() -> None:
    """`check-gateways` (what `helm test` runs) says yes to the two gateways, and no when readers
    would reach a writable instance."""
    with trio.fail_after(LIMIT_S):
        async with open_sandbox(SandboxOptions()) as sandbox:
            await sandbox.wait_whole(40)
            write_to, read_from = sandbox.gateway(CONTROLLER), sandbox.read_gateway(CONTROLLER)
            for reader, code, says in ((read_from, 0, "ok"), (write_to, 1, "was accepted")):
                words = ["check-gateways", f"--write={write_to}", f"--read={reader}"]
                done = await trio.run_process(
                    [sys.executable, "-m", "controller.cli", *words],
                    capture_stdout=True,
                    check=False,
                )
                assert done.returncode == code, done.stdout
                assert says in done.stdout.decode()
            rows = await ask(sandbox.bolt("memgraph-0"), "MATCH (n) RETURN count(n)")
            assert rows == [[0]]


async def test_a_sync_replica_that_hangs_is_not_taken_for_a_dead_main() -> None:
    """While a STRICT_SYNC replica hangs, its main blocks writes for up to 30 s and refuses SET ROLE
    and DROP (MEMGRAPH L10): nobody fails over, the replica leaves the sync set, writes go on."""
    with trio.fail_after(2 * LIMIT_S):
        async with open_sandbox(SandboxOptions()) as sandbox:
            await sandbox.wait_whole(40)
            await write(sandbox, CONTROLLER, 1)
            begun = len(triggers(sandbox))
            sandbox.stop("memgraph-1")
            await write(sandbox, CONTROLLER, 2)
            happened = triggers(sandbox)[begun:]
            assert "sync_lost" in happened
            assert "main_lost" not in happened
            assert sandbox.noted("main") == "memgraph-0"
            sandbox.cont("memgraph-1")
            await sandbox.wait_whole(60)
            for instance in sandbox.instances:
                rows = await ask(sandbox.bolt(instance), "MATCH (n:Write) RETURN n.id")
                assert sorted(row[0] for row in rows) == [1, 2], instance


async def test_a_cluster_in_sync_mode_gets_whole_and_fails_over_without_a_promise() -> None:
    """REPLICATION_MODE=sync: the replica joins by the marker, a dead main is replaced, and the
    verdict says that it promises nothing (S3, S13)."""
    options = SandboxOptions(env={"REPLICATION_MODE": "sync"})
    with trio.fail_after(LIMIT_S):
        async with open_sandbox(options) as sandbox:
            await sandbox.wait_whole(40)
            await write(sandbox, CONTROLLER, 1)
            sandbox.kill("memgraph-0")
            await until(lambda: sandbox.noted("main") == "memgraph-1", "another main")
            await write(sandbox, CONTROLLER, 2)
            await sandbox.wait_whole(60)
            lines = sandbox.ledger().values()
            promoted = [e["data"] for e in map(json.loads, lines) if e["on"] == "main_promoted"]
            assert "unknown" in [data["verdict"] for data in promoted]
